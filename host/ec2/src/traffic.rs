//! What goes over the wire: told to whoever counts and bounds it.

use std::fmt::Debug;
use std::sync::{Arc, OnceLock};

use crate::{Error, ErrorKind};

/// Counts what goes over the wire for a call, repetitions and pages included, and may end it.
pub trait Observer: Debug + Send + Sync {
    /// A request is about to go out.
    ///
    /// # Errors
    /// A line that says why it must not; the call then ends with [`ErrorKind::Limit`].
    fn request(&self) -> Result<(), String>;

    /// A piece of an answer came; `answer_bytes` are that answer's so far.
    ///
    /// # Errors
    /// As [`Observer::request`].
    fn received(&self, piece_bytes: usize, answer_bytes: u64) -> Result<(), String>;

    /// The service asked for patience.
    fn throttled(&self);
}

/// The observer of one call. Clones are the same call's.
#[derive(Clone, Debug)]
pub struct Traffic(Arc<Call>);

#[derive(Debug)]
struct Call {
    observer: Box<dyn Observer>,
    /// Why it was ended: nothing more goes out, though the SDK would ask again.
    ended: OnceLock<String>,
}

impl Traffic {
    pub fn new(observer: impl Observer + 'static) -> Traffic {
        Traffic(Arc::new(Call { observer: Box::new(observer), ended: OnceLock::new() }))
    }

    /// A request is about to go out, or would.
    ///
    /// # Errors
    /// `limit`, where the observer refuses it, or refused something before.
    pub fn request(&self) -> Result<(), Error> {
        match self.0.ended.get() {
            Some(message) => Err(Error::new(ErrorKind::Limit, message)),
            None => self.0.observer.request().map_err(|message| self.end(message)),
        }
    }

    fn end(&self, message: String) -> Error {
        Error::new(ErrorKind::Limit, self.0.ended.get_or_init(|| message))
    }
}

#[cfg(feature = "aws")]
mod interceptor {
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use aws_sdk_ec2::config::interceptors::{
        BeforeDeserializationInterceptorContextMut, BeforeTransmitInterceptorContextRef,
    };
    use aws_sdk_ec2::config::{ConfigBag, Intercept, RuntimeComponents};
    use aws_sdk_ec2::error::BoxError;
    use aws_smithy_types::body::{Error as BodyError, SdkBody};
    use bytes::Bytes;
    use http_body::{Body, Frame, SizeHint};

    use super::Traffic;

    /// Sees every attempt of the SDK, not only the calls that are made of it.
    impl Intercept for Traffic {
        fn name(&self) -> &'static str {
            "Traffic"
        }

        fn read_before_transmit(
            &self,
            _context: &BeforeTransmitInterceptorContextRef<'_>,
            _components: &RuntimeComponents,
            _config: &mut ConfigBag,
        ) -> Result<(), BoxError> {
            Ok(self.request()?)
        }

        fn modify_before_deserialization(
            &self,
            context: &mut BeforeDeserializationInterceptorContextMut<'_>,
            _components: &RuntimeComponents,
            _config: &mut ConfigBag,
        ) -> Result<(), BoxError> {
            let answer = context.response_mut();
            // EC2 says RequestLimitExceeded with 503.
            if matches!(answer.status().as_u16(), 429 | 503) {
                self.0.observer.throttled();
            }
            let body = std::mem::replace(answer.body_mut(), SdkBody::taken());
            *answer.body_mut() = SdkBody::from_body_1_x(Observed { body, traffic: self.clone(), bytes: 0 });
            Ok(())
        }
    }

    /// A body that is observed as it comes.
    struct Observed {
        body: SdkBody,
        traffic: Traffic,
        bytes: u64,
    }

    impl Body for Observed {
        type Data = Bytes;
        type Error = BodyError;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
            let polled = Pin::new(&mut self.body).poll_frame(context);
            if let Poll::Ready(Some(Ok(frame))) = &polled {
                let piece = frame.data_ref().map_or(0, Bytes::len);
                self.bytes += piece as u64;
                if let Err(message) = self.traffic.0.observer.received(piece, self.bytes) {
                    return Poll::Ready(Some(Err(self.traffic.end(message).into())));
                }
            }
            polled
        }

        fn is_end_stream(&self) -> bool {
            self.body.is_end_stream()
        }

        fn size_hint(&self) -> SizeHint {
            Body::size_hint(&self.body)
        }
    }
}

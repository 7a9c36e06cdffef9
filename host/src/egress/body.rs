//! Reads a body: counted while it comes in, compressed and decompressed, within the time between two pieces of it.

use std::io::{self, Write};
use std::time::Duration;

use flate2::write::{MultiGzDecoder, ZlibDecoder};
use tokio::time::timeout;

use super::meter::Held;
use super::{Bounds, Failure, FailureKind, Meter};
use crate::limits::ByteSize;

/// Reads the whole body of a response.
pub(super) async fn read(
    response: &mut reqwest::Response,
    between_bytes: Duration,
    bounds: &Bounds,
    meter: &Meter,
) -> Result<Vec<u8>, Failure> {
    let max = bounds.body_bytes_max;
    let too_large = || Failure::limit("response_body", ByteSize(max));
    if response.content_length().is_some_and(|length| length > max) {
        return Err(too_large());
    }
    let encoding = response.headers().get("content-encoding").map(|value| value.as_bytes().to_ascii_lowercase());
    let mut decoder = Decoder::new(encoding.as_deref(), Output::new(max, bounds.buffer.hold_nothing()))?;
    let mut received = 0u64;
    loop {
        let piece = timeout(between_bytes, response.chunk()).await.map_err(|_| {
            let what = format!("nothing more of the body within {between_bytes:?}, after {received} bytes");
            Failure::new(FailureKind::Timeout, what)
        })?;
        let piece =
            piece.map_err(|e| Failure::from_client(e, &format!("the body broke off after {received} bytes")))?;
        let Some(piece) = piece else { break };
        meter.count_bytes(piece.len());
        received += piece.len() as u64;
        if received > max {
            return Err(too_large());
        }
        decoder.write(&piece)?;
    }
    decoder.finish()
}

/// Unpacks a body that the host itself has packed, with gzip, within the same bounds.
pub(super) fn unpack(packed: &[u8], bounds: &Bounds) -> Result<Vec<u8>, Failure> {
    let output = Output::new(bounds.body_bytes_max, bounds.buffer.hold_nothing());
    let mut decoder = Decoder::new(Some(b"gzip"), output)?;
    decoder.write(packed)?;
    decoder.finish()
}

/// What a body becomes; refuses to grow beyond its bound.
struct Output {
    bytes: Vec<u8>,
    max: u64,
    held: Held,
    failure: Option<Failure>,
}

impl Output {
    fn new(max: u64, held: Held) -> Output {
        Output { bytes: Vec::new(), max, held, failure: None }
    }
}

impl Write for Output {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        let is_too_large = (self.bytes.len() + piece.len()) as u64 > self.max;
        let room = if is_too_large {
            Err(Failure::limit("response_body", ByteSize(self.max)))
        } else {
            self.held.grow(piece.len())
        };
        if let Err(failure) = room {
            self.failure = Some(failure);
            return Err(io::Error::other("a bound is reached"));
        }
        self.bytes.extend_from_slice(piece);
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

enum Decoder {
    Plain(Output),
    Gzip(Box<MultiGzDecoder<Output>>),
    Zlib(Box<ZlibDecoder<Output>>),
}

impl Decoder {
    fn new(encoding: Option<&[u8]>, output: Output) -> Result<Decoder, Failure> {
        match encoding {
            None | Some(b"" | b"identity") => Ok(Decoder::Plain(output)),
            Some(b"gzip" | b"x-gzip") => Ok(Decoder::Gzip(Box::new(MultiGzDecoder::new(output)))),
            Some(b"deflate") => Ok(Decoder::Zlib(Box::new(ZlibDecoder::new(output)))),
            Some(other) => {
                let name: String = String::from_utf8_lossy(other).chars().take(40).collect();
                Err(Failure::new(FailureKind::Broken, format!("content-encoding {name:?} was not asked for")))
            }
        }
    }

    fn output(&mut self) -> &mut Output {
        match self {
            Decoder::Plain(output) => output,
            Decoder::Gzip(decoder) => decoder.get_mut(),
            Decoder::Zlib(decoder) => decoder.get_mut(),
        }
    }

    fn write(&mut self, piece: &[u8]) -> Result<(), Failure> {
        let written = match self {
            Decoder::Plain(output) => output.write_all(piece),
            Decoder::Gzip(decoder) => decoder.write_all(piece),
            Decoder::Zlib(decoder) => decoder.write_all(piece),
        };
        written.map_err(|e| self.failure(&e))
    }

    fn finish(mut self) -> Result<Vec<u8>, Failure> {
        let ended = match &mut self {
            Decoder::Plain(_) => Ok(()),
            Decoder::Gzip(decoder) => decoder.try_finish(),
            Decoder::Zlib(decoder) => decoder.try_finish(),
        };
        ended.map_err(|e| self.failure(&e))?;
        Ok(std::mem::take(&mut self.output().bytes))
    }

    /// The bound that stopped it, else that it is not what it says it is.
    fn failure(&mut self, error: &io::Error) -> Failure {
        let broken = || Failure::new(FailureKind::Broken, format!("the body cannot be decompressed: {error}"));
        self.output().failure.take().unwrap_or_else(broken)
    }
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::{GzEncoder, ZlibEncoder};

    use super::*;
    use crate::egress::Buffer;

    fn decode(encoding: &str, max: u64, body: &[u8]) -> Result<Vec<u8>, Failure> {
        let output = Output::new(max, Buffer::new(ByteSize(1 << 30)).hold_nothing());
        let mut decoder = Decoder::new(Some(encoding.as_bytes()), output)?;
        body.chunks(100).try_for_each(|piece| decoder.write(piece))?;
        decoder.finish()
    }

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn every_encoding_that_is_asked_for_is_read() {
        let text = b"hello ".repeat(100);
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
        zlib.write_all(&text).unwrap();
        assert_eq!(decode("gzip", 1000, &gzip(&text)).unwrap(), text);
        assert_eq!(decode("gzip", 2000, &[gzip(&text), gzip(&text)].concat()).unwrap(), text.repeat(2));
        assert_eq!(decode("deflate", 1000, &zlib.finish().unwrap()).unwrap(), text);
        assert_eq!(decode("identity", 1000, &text).unwrap(), text);
        assert!(decode("br", 1000, &text).unwrap_err().message.contains("\"br\" was not asked for"));
    }

    #[test]
    fn a_gzip_bomb_ends_at_the_bound() {
        let bomb = gzip(&vec![0; 50 << 20]);
        assert!(bomb.len() < 100_000);
        let failure = decode("gzip", 1 << 20, &bomb).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Limit);
        assert!(failure.message.contains("response_body (1 MiB)"), "{failure}");
    }

    #[test]
    fn what_is_cut_off_or_is_no_gzip_is_broken() {
        let whole = gzip(b"hello hello hello");
        assert_eq!(decode("gzip", 1000, &whole[..whole.len() - 3]).unwrap_err().kind, FailureKind::Broken);
        assert_eq!(decode("gzip", 1000, b"plain text").unwrap_err().kind, FailureKind::Broken);
    }
}

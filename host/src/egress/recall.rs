//! A remembered answer of one request: found, brought back by a 304, learnt anew.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::task::spawn_blocking;

use super::conditional::{self, Condition};
use super::{Answer, Bounds, Failure, FailureKind, body};
use crate::limits::ByteSize;
use crate::store::{AnswerKey, Answers, Found};

/// The place that the answer to a request has among those that are remembered.
pub(super) struct Recall<'a> {
    pub answers: &'a Answers,
    pub key: AnswerKey,
}

/// An answer that is remembered; its body stays where it is until it is needed.
pub(super) struct Remembered {
    found: Found,
    headers: Vec<(String, String)>,
    pub condition: Condition,
}

impl Recall<'_> {
    /// What is remembered.
    pub async fn find(&self) -> Option<Remembered> {
        let found = self.answers.find(&self.key).await?;
        let headers: Vec<(String, String)> = postcard::from_bytes(&found.head).ok()?;
        let condition = conditional::condition(&headers)?;
        Some(Remembered { found, headers, condition })
    }

    /// The remembered answer, after a 304 with these headers. None where that speaks of another one, or nothing whole is left of it.
    ///
    /// # Errors
    /// Where it is larger than an answer may be.
    pub async fn revive(
        &self,
        remembered: &Remembered,
        fresh: &[(String, String)],
        bounds: &Bounds,
    ) -> Result<Option<Answer>, Failure> {
        if !conditional::confirms(&remembered.headers, fresh) {
            return Ok(None);
        }
        let headers = conditional::merged(&remembered.headers, fresh);
        let header_bytes: usize = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        if header_bytes as u64 > bounds.header_bytes_max {
            return Err(Failure::limit("response_headers", ByteSize(bounds.header_bytes_max)));
        }
        match self.unpack(&remembered.found, bounds).await {
            Some(Ok(body)) => Ok(Some(Answer { status: 200, headers, body })),
            Some(Err(failure)) if failure.kind == FailureKind::Limit => Err(failure),
            _ => Ok(None),
        }
    }

    async fn unpack(&self, found: &Found, bounds: &Bounds) -> Option<Result<Vec<u8>, Failure>> {
        let packed = self.answers.body(found).await?;
        let (bytes, bounds) = (packed.bytes, bounds.clone());
        let unpacked = spawn_blocking(move || body::unpack(&bytes, &bounds)).await.ok();
        // Until here it was one of the few bodies that are in memory twice.
        drop(packed.turn);
        unpacked
    }

    /// Notes that an answer, as a 304 has refreshed it, still holds.
    pub fn confirm(&self, answer: &Answer) {
        match head(answer).filter(|_| conditional::may_be_kept(answer)) {
            Some(head) => self.answers.confirm(self.key, head),
            None => self.forget(),
        }
    }

    /// Keeps an answer, without making anybody wait for it.
    pub fn keep(&self, answer: &Answer) {
        let Some(head) = head(answer) else { return };
        let Some(room) = self.answers.room(head.len() + answer.body.len()) else { return };
        let (key, body) = (self.key, answer.body.clone());
        // It ends by itself; what it has learnt is waited for when the cycle ends.
        drop(spawn_blocking(move || {
            if let Ok(packed) = pack(&body) {
                room.keep(key, head, packed);
            }
        }));
    }

    /// Forgets what was remembered.
    pub fn forget(&self) {
        self.answers.forget(self.key);
    }
}

fn head(answer: &Answer) -> Option<Vec<u8>> {
    postcard::to_stdvec(&conditional::kept_headers(&answer.headers)).ok()
}

/// Quick rather than small: it is done in every cycle.
fn pack(body: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(body)?;
    encoder.finish()
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use jiff::{SignedDuration, Timestamp};

    use super::*;
    use crate::clock;
    use crate::egress::Buffer;
    use crate::store::AnswersOptions;

    const KEY: AnswerKey = [7; 32];

    async fn answers(dir: &Path) -> Answers {
        let options = AnswersOptions {
            folder: dir.into(),
            bytes_max: ByteSize::mib(8),
            age_max: SignedDuration::from_hours(1),
            now: Timestamp::UNIX_EPOCH,
            records: true,
        };
        Answers::open(options).await.unwrap()
    }

    fn bounds(body_bytes_max: u64, header_bytes_max: u64) -> Bounds {
        let deadline = clock::instant() + Duration::from_secs(60);
        Bounds { deadline, body_bytes_max, header_bytes_max, buffer: Buffer::new(ByteSize::mib(1)) }
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
    }

    fn answer() -> Answer {
        let headers = pairs(&[("etag", "\"1\""), ("date", "old"), ("set-cookie", "s=1")]);
        Answer { status: 200, headers, body: b"hello ".repeat(1000) }
    }

    /// The answer in the file of a folder, as a cycle leaves it.
    async fn remembered(dir: &Path) {
        let answers = answers(dir).await;
        Recall { answers: &answers, key: KEY }.keep(&answer());
        answers.finish().await;
    }

    #[tokio::test]
    async fn what_was_kept_comes_back_whole_with_the_headers_of_the_304() {
        let dir = tempfile::tempdir().unwrap();
        remembered(dir.path()).await;
        let answers = answers(dir.path()).await;
        let recall = Recall { answers: &answers, key: KEY };
        let found = recall.find().await.unwrap();
        assert_eq!(found.condition.1, "\"1\"");
        let fresh = pairs(&[("date", "new")]);
        let revived = recall.revive(&found, &fresh, &bounds(6000, 100)).await.unwrap().unwrap();
        assert_eq!(revived.headers, pairs(&[("etag", "\"1\""), ("date", "new")]));
        assert_eq!((revived.status, revived.body), (200, answer().body));
        assert!(Recall { answers: &answers, key: [8; 32] }.find().await.is_none());
        let other = pairs(&[("etag", "\"2\"")]);
        assert_eq!(recall.revive(&found, &other, &bounds(6000, 100)).await, Ok(None));
    }

    #[tokio::test]
    async fn a_remembered_answer_has_the_bounds_of_one_over_the_wire() {
        let dir = tempfile::tempdir().unwrap();
        remembered(dir.path()).await;
        let answers = answers(dir.path()).await;
        let recall = Recall { answers: &answers, key: KEY };
        let found = recall.find().await.unwrap();
        for (bounds, key) in [
            (bounds(5999, 100), "response_body (5.8 KiB)"),
            (bounds(6000, 13), "response_headers (13 B)"),
            (Bounds { buffer: Buffer::new(ByteSize(5999)), ..bounds(6000, 100) }, "response_buffer"),
        ] {
            let failure = recall.revive(&found, &[], &bounds).await.unwrap_err();
            assert_eq!(failure.kind, FailureKind::Limit);
            assert!(failure.message.contains(key), "{failure}");
        }
    }

    #[tokio::test]
    async fn an_answer_that_may_no_longer_be_kept_is_forgotten_when_it_is_confirmed() {
        let dir = tempfile::tempdir().unwrap();
        remembered(dir.path()).await;
        for (headers, is_kept) in
            [(&[("etag", "\"1\"")][..], true), (&[("etag", "\"1\""), ("cache-control", "no-store")], false)]
        {
            let answers = answers(dir.path()).await;
            let recall = Recall { answers: &answers, key: KEY };
            recall.confirm(&Answer { headers: pairs(headers), ..answer() });
            answers.finish().await;
            let answers = self::answers(dir.path()).await;
            assert_eq!(Recall { answers: &answers, key: KEY }.find().await.is_some(), is_kept);
        }
    }
}

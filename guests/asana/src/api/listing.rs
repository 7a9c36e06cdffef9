//! A listing, read page by page: to its end or not at all.

use std::collections::{BTreeMap, BTreeSet};

use collector_sdk::http::{Request, Response};
use collector_sdk::{Fault, Reason, log};
use serde::Deserialize;
use serde_json::Value;

use super::rows::{RowError, read_gid};

/// The most requests that one listing may cost. Both together stay under the 500 that the host allows an attempt, so a
/// listing without end does not take the other with it. 24,000 rows at 100 in a page.
pub(super) const REQUESTS_MAX: usize = 240;

/// What is asked for, page after page.
pub(super) struct Listing {
    /// What it is, for messages.
    pub what: &'static str,
    /// The request for the first page.
    pub request: Request,
}

/// Why a listing was not read to its end.
enum Broken {
    /// Asana does not take the offset that it gave.
    OffsetRefused(Fault),
    Lost(Fault),
}

impl From<Fault> for Broken {
    fn from(fault: Fault) -> Broken {
        Broken::Lost(fault)
    }
}

/// A page as Asana answers it.
#[derive(Deserialize)]
struct Page {
    data: Vec<Value>,
    /// Null or missing on the last page, however many rows there are on it.
    #[serde(default)]
    next_page: Value,
}

impl Listing {
    /// Every row from the first page to the last, each once.
    ///
    /// # Errors
    /// Where a page does not come or cannot be what it means, and where there are too many.
    pub async fn read<Row>(&self, read_row: fn(&Value) -> Result<Row, RowError>) -> Result<Vec<Row>, Fault> {
        let mut requests_left = REQUESTS_MAX;
        let mut outcome = self.read_through(read_row, &mut requests_left).await;
        // Offsets live for 15 minutes and end earlier where the data changed; a new listing has new ones.
        if let Err(Broken::OffsetRefused(fault)) = &outcome {
            log::info(format!("begun anew: {fault}"));
            outcome = self.read_through(read_row, &mut requests_left).await;
        }
        outcome.map_err(|broken| match broken {
            Broken::OffsetRefused(fault) => fault.while_asking("begun anew"),
            Broken::Lost(fault) => fault,
        })
    }

    async fn read_through<Row>(
        &self,
        read_row: fn(&Value) -> Result<Row, RowError>,
        requests_left: &mut usize,
    ) -> Result<Vec<Row>, Broken> {
        let (mut rows, mut offsets) = (BTreeMap::new(), BTreeSet::new());
        let (mut offset, mut page_number) = (None, 1_usize);
        loop {
            let place = format!("{}, page {page_number}", self.what);
            *requests_left = requests_left.checked_sub(1).ok_or_else(|| {
                let why = format!("{place}: not read after {REQUESTS_MAX} requests; a greater page_size needs fewer");
                Fault::new(Reason::Limit, why)
            })?;
            let page = self.ask_page(offset.as_deref(), &place).await?;
            let broken = |why: RowError| Fault::bad_answer(format!("{place}: {why}"));
            for row in &page.data {
                // The later answer is the newer one.
                rows.insert(read_gid(row).map_err(broken)?, read_row(row).map_err(broken)?);
            }
            let Some(next) = page.next_offset().map_err(broken)? else { return Ok(rows.into_values().collect()) };
            if !offsets.insert(next.clone()) {
                return Err(broken("it leads back to a page that was read".into()).into());
            }
            offset = Some(next);
            page_number = page_number.saturating_add(1);
        }
    }

    async fn ask_page(&self, offset: Option<&str>, place: &str) -> Result<Page, Broken> {
        let request = self.request.clone();
        let request = if let Some(offset) = offset { request.query("offset", offset) } else { request };
        let mut answer = request.send().await.map_err(|fault| fault.while_asking(place))?;
        if let Some(message) = read_error(&answer) {
            answer.body = message.into_bytes();
        }
        // But for the offset the request is that of the first page, which was not refused.
        let is_offset_refused = answer.status == 400 && offset.is_some();
        match answer.ok().and_then(|answer| answer.json()).map_err(|fault| fault.while_asking(place)) {
            Err(fault) if is_offset_refused => Err(Broken::OffsetRefused(fault)),
            page => Ok(page?),
        }
    }
}

/// What Asana says of an error, without the paragraph of help that it puts beside it.
fn read_error(answer: &Response) -> Option<String> {
    let body: Value = if answer.status < 400 { None } else { serde_json::from_slice(&answer.body).ok() }?;
    let messages = body["errors"].as_array()?.iter().filter_map(|error| error["message"].as_str());
    Some(messages.collect::<Vec<_>>().join("; ")).filter(|text| !text.is_empty())
}

impl Page {
    /// The offset of the page after this one; none at the end.
    fn next_offset(&self) -> Result<Option<String>, RowError> {
        match (&self.next_page, &self.next_page["offset"]) {
            (Value::Null, _) => Ok(None),
            (_, Value::String(offset)) if !offset.is_empty() => Ok(Some(offset.clone())),
            _ => Err("a page follows, but there is no offset to it".into()),
        }
    }
}

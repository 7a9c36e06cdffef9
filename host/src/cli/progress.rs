//! What happens, while it happens: a bar for each run on a terminal, plain lines elsewhere.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};
use std::sync::LazyLock;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::sync::mpsc;

use crate::model::{Event, Name};
use crate::report;

/// All bars of the process. Drawing is to stderr.
static BARS: LazyLock<MultiProgress> = LazyLock::new(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr()));

/// Bars drawn at once; more collectors than that have plain lines as they end.
const BARS_MAX: usize = 40;

/// A writer for the log that does not tear the bars.
pub(super) fn above_bars() -> impl Write {
    struct AboveBars;
    impl Write for AboveBars {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            BARS.suspend(|| io::stderr().write_all(bytes))?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            io::stderr().flush()
        }
    }
    io::LineWriter::new(AboveBars)
}

/// Shows events until there are no more.
pub(super) async fn show(mut events: mpsc::UnboundedReceiver<Event>) {
    let mut shown = if io::stderr().is_terminal() { Shown::Bars(Bars::default()) } else { Shown::Lines };
    while let Some(event) = events.recv().await {
        match &mut shown {
            Shown::Bars(bars) => bars.show(&event),
            Shown::Lines => {
                if let Some(line) = report::line(&event) {
                    eprintln!("{line}");
                }
            }
        }
    }
    if let Shown::Bars(bars) = shown {
        bars.clear();
    }
}

enum Shown {
    Bars(Bars),
    Lines,
}

#[derive(Default)]
struct Bars {
    whole: Option<ProgressBar>,
    runs: BTreeMap<Name, ProgressBar>,
}

impl Bars {
    fn show(&mut self, event: &Event) {
        match event {
            Event::CycleStarted { collectors, .. } => {
                let bar = BARS.add(ProgressBar::new(collectors.len() as u64));
                bar.set_style(style("{bar:30} {pos}/{len} collectors  {elapsed}  {msg}"));
                bar.enable_steady_tick(Duration::from_millis(200));
                self.whole = Some(bar);
            }
            Event::RunStarted { collector } if self.runs.len() < BARS_MAX => {
                let bar = BARS.add(ProgressBar::new_spinner());
                bar.set_style(style("  {spinner} {msg}  {elapsed}"));
                bar.set_message(collector.to_string());
                bar.enable_steady_tick(Duration::from_millis(100));
                self.runs.insert(collector.clone(), bar);
            }
            Event::RunEnded(run) => {
                if let Some(bar) = self.runs.remove(&run.collector) {
                    bar.finish_and_clear();
                }
                if let Some(whole) = &self.whole {
                    whole.inc(1);
                }
                if !run.outcome.is_well() {
                    self.say(event);
                }
            }
            Event::Delivering { points } => {
                if let Some(whole) = &self.whole {
                    whole.set_message(format!("delivering {points} points"));
                }
            }
            Event::RunStarted { .. } => {}
            Event::SlotRepeats { .. }
            | Event::AttemptFailed { .. }
            | Event::Interrupted { .. }
            | Event::PushDeferred { .. } => self.say(event),
        }
    }

    /// A line above the bars.
    fn say(&self, event: &Event) {
        if let Some(line) = report::line(event) {
            BARS.suspend(|| eprintln!("{line}"));
        }
    }

    fn clear(self) {
        self.runs.into_values().chain(self.whole).for_each(|bar| bar.finish_and_clear());
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}

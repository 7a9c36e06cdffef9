//! Log lines. The host attributes them to the collector, bounds them, and shows them with `-v`.

/// How much a line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    Debug,
    Info,
    Warn,
    Error,
}

/// For somebody who is looking for a fault in the collector.
pub fn debug(message: impl AsRef<str>) {
    crate::boundary::log(Level::Debug, message.as_ref());
}

/// For somebody who wants to see what it does.
pub fn info(message: impl AsRef<str>) {
    crate::boundary::log(Level::Info, message.as_ref());
}

/// Something was not as expected and was dealt with.
pub fn warn(message: impl AsRef<str>) {
    crate::boundary::log(Level::Warn, message.as_ref());
}

/// Something went wrong. A run that went wrong also returns a fault.
pub fn error(message: impl AsRef<str>) {
    crate::boundary::log(Level::Error, message.as_ref());
}

//! The binary as a user runs it.

mod evil;
mod hostile;
mod site;

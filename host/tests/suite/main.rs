//! The binary as a user runs it.

mod capabilities;
mod command_line;
mod conditional;
mod crashes;
mod cycle;
mod delivery;
mod evil;
mod faults;
mod generated;
mod github_app;
mod hostile;
mod intake;
mod levels;
mod names;
mod protocol;
mod received;
mod same_instruction;
mod secrets;
mod signatures;
mod sinks;
mod site;
mod tls;

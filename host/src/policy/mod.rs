//! Pure decisions about what a guest may reach: which upstream, method, path, header and address.

mod address;
mod grant;
mod import;
mod path;

pub use address::{AddressClass, AddressRule, Allowed, ParseAddressRuleError};
pub use grant::{Denied, Grant, header_is_the_hosts};
pub use import::{ImportDenied, WASI_ON_GRANT, check_import};
pub use path::{PathError, is_under, normal_path};

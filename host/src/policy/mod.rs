//! Pure decisions about what a guest may reach: which upstream, method, path, header and address.

mod address;
mod breaker;
mod credential;
mod grant;
mod import;
mod path;
mod upstream;

pub use address::{AddressClass, AddressRule, Allowed, ParseAddressRuleError};
pub use breaker::pause;
pub use credential::{AwsKeys, AwsSigV4, Credential, GithubApp};
pub use grant::{Denied, Grant, header_is_the_hosts};
pub use import::{ImportDenied, WASI_ON_GRANT, capability_of, check_import};
pub use path::{PathError, encode_segment, is_under, normal_path};
pub use upstream::{Redirects, Timeouts, Upstream};

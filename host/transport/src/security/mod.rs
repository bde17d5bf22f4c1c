//! Who may speak with whom: roles in certificates, what each side shows of itself, and words for
//! what does not fit. Making certificates is for `cert` and `token`.

mod explain;
mod identity;
mod role;
mod settings;
mod verify;

pub use identity::{Identity, IdentityError};
pub use role::{Role, RoleError};
pub use settings::{ClientSecurity, ServerSecurity, TlsClient, TlsServer};

pub(crate) use explain::{explain_as_client, explain_as_server};

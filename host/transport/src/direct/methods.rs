//! What can be asked of a worker over a direct link, and the one table of who may ask it. What is
//! not in the table is refused.

use std::fmt;

use crate::security::Role;

/// A method of the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// The long stream of messages, which begins with the hello.
    Open,
    /// Bytes to the worker.
    Put,
    /// Bytes from the worker.
    Get,
    /// How the worker stands, without a hello.
    Status,
}

/// Who may call what. Everybody else may not.
const ALLOWED: &[(Method, Role)] = &[
    (Method::Open, Role::Submit),
    (Method::Open, Role::Admin),
    (Method::Put, Role::Submit),
    (Method::Put, Role::Admin),
    (Method::Get, Role::Submit),
    (Method::Get, Role::Admin),
    (Method::Status, Role::Observe),
    (Method::Status, Role::Submit),
    (Method::Status, Role::Admin),
];

impl Method {
    /// Every method there is.
    pub const ALL: [Self; 4] = [Self::Open, Self::Put, Self::Get, Self::Status];

    /// Its path on the wire.
    #[must_use]
    pub const fn path(self) -> &'static str {
        match self {
            Self::Open => "/sandmill.Worker/Open",
            Self::Put => "/sandmill.Worker/Put",
            Self::Get => "/sandmill.Worker/Get",
            Self::Status => "/sandmill.Worker/Status",
        }
    }

    /// The method with this path, byte for byte.
    #[must_use]
    pub fn of_path(path: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.path() == path)
    }

    /// Whether a role may call it.
    #[must_use]
    pub fn allows(self, role: Role) -> bool {
        ALLOWED.contains(&(self, role))
    }

    /// Why a role may not call it, for both sides to show.
    #[must_use]
    pub fn refuse(self, role: Role) -> String {
        let may: Vec<_> = Role::ALL
            .into_iter()
            .filter(|other| self.allows(*other))
            .map(|role| format!("`{role}`"))
            .collect();
        format!(
            "a certificate with the role `{role}` may not {self}: it takes {}",
            may.join(" or ")
        )
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "give runs to a worker",
            Self::Put => "send values to a worker",
            Self::Get => "get values from a worker",
            Self::Status => "look at a worker",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_those_who_submit_may_ask_for_anything_but_to_look() {
        for method in Method::ALL {
            for role in Role::ALL {
                let looks = method == Method::Status && role == Role::Observe;
                let may = looks || matches!(role, Role::Submit | Role::Admin);
                assert_eq!(method.allows(role), may, "{method} by {role}");
            }
            assert_eq!(Method::of_path(method.path()), Some(method));
        }
        assert_eq!(
            Method::Open.refuse(Role::Observe),
            "a certificate with the role `observe` may not give runs to a worker: \
             it takes `submit` or `admin`"
        );
    }

    #[test]
    fn odd_paths_are_no_methods() {
        for method in Method::ALL {
            let path = method.path();
            for odd in [
                path.to_lowercase(),
                path.to_uppercase(),
                format!("{path}/"),
                format!("/{path}"),
                format!("{path}%00"),
                path.replace("Worker", "worker"),
                path[1..].to_owned(),
            ] {
                assert_eq!(Method::of_path(&odd), None, "{odd}");
            }
        }
    }
}

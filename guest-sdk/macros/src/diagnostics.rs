//! [`Faults`]: what is wrong with a signature, all of it at once, and the checks on names and
//! types whose messages say what to write instead.

use proc_macro2::Span;
use quote::ToTokens;
use syn::visit::{self, Visit};
use syn::{Error, Type};

use crate::kind::Kind;

/// The longest name of a task, in bytes; so says the contract.
const NAME_BYTES_MAX: usize = 128;

/// Errors gathered so far.
#[derive(Default)]
pub(crate) struct Faults(Option<Error>);

impl Faults {
    /// Adds an error at the place of `tokens`.
    pub(crate) fn at(&mut self, tokens: impl ToTokens, message: impl std::fmt::Display) {
        self.push(Error::new_spanned(tokens, message));
    }

    /// Adds an error.
    pub(crate) fn push(&mut self, error: Error) {
        match &mut self.0 {
            Some(errors) => errors.combine(error),
            None => self.0 = Some(error),
        }
    }

    /// The value, unless there were errors.
    pub(crate) fn or<T>(self, value: T) -> syn::Result<T> {
        self.0.map_or(Ok(value), Err)
    }
}

/// Checks a task's name against the contract.
pub(crate) fn check_name(kind: Kind, name: &str, span: Span) -> syn::Result<()> {
    let rest = |c: char| matches!(c, 'a'..='z' | '0'..='9' | '.' | '_' | '-');
    let fault = match name.chars().next() {
        None => "it is empty".to_owned(),
        Some(first) if !matches!(first, 'a'..='z' | '0'..='9') => {
            format!("it starts with `{first}`, not with one of a-z and 0-9")
        }
        Some(_) if name.len() > NAME_BYTES_MAX => {
            format!("it has {} bytes, and {NAME_BYTES_MAX} are allowed", name.len())
        }
        Some(_) => match name.chars().find(|&character| !rest(character)) {
            Some(other) => format!("it has `{other}`, and only a-z, 0-9, `.`, `_` and `-` may be"),
            None => return Ok(()),
        },
    };
    let message =
        format!("`{name}` cannot be the name of a {kind}: {fault}; set one with `name = \"…\"`");
    Err(Error::new(span, message))
}

/// Complains about a parameter's type that borrows or has no name.
pub(crate) fn check_parameter_type(kind: Kind, name: &str, ty: &Type, faults: &mut Faults) {
    match ty {
        Type::Reference(reference) => {
            let fix = owned(&reference.elem);
            faults.at(ty, format!("parameter `{name}` is a reference, but a {kind} owns its arguments: take {fix}"));
        }
        Type::ImplTrait(_) => faults.at(
            ty,
            format!("parameter `{name}` is `impl Trait`, which no argument can be decoded into: name a type"),
        ),
        _ => {
            let mut search = Search { kind, name, faults };
            search.visit_type(ty);
        }
    }
}

/// Complains about a result's type that has no name.
pub(crate) fn check_result_type(ty: &Type, faults: &mut Faults) {
    struct Opaque<'a>(&'a mut Faults);

    impl<'ast> Visit<'ast> for Opaque<'_> {
        fn visit_type_impl_trait(&mut self, ty: &'ast syn::TypeImplTrait) {
            self.0.at(ty, "the result is `impl Trait`, which has no schema: name the type");
        }
    }

    Opaque(faults).visit_type(ty);
}

/// What to take instead of a reference to `ty`.
fn owned(ty: &Type) -> String {
    match ty {
        Type::Path(path) if path.path.is_ident("str") => "`String`".to_owned(),
        Type::Slice(slice) => match &*slice.elem {
            Type::Path(path) if path.path.is_ident("u8") => "`sandmill_guest::Bytes`".to_owned(),
            element => format!("`Vec<{}>`", crate::expand::type_name(element)),
        },
        other => format!("`{}` by value", crate::expand::type_name(other)),
    }
}

/// Looks for references, lifetimes and `impl Trait` inside of a type.
struct Search<'a> {
    kind: Kind,
    name: &'a str,
    faults: &'a mut Faults,
}

impl<'ast> Visit<'ast> for Search<'_> {
    fn visit_type_reference(&mut self, reference: &'ast syn::TypeReference) {
        let (kind, name, fix) = (self.kind, self.name, owned(&reference.elem));
        self.faults.at(
            reference,
            format!("parameter `{name}` holds a reference, but a {kind} owns its arguments: write {fix} here"),
        );
    }

    fn visit_lifetime(&mut self, lifetime: &'ast syn::Lifetime) {
        if lifetime.ident != "static" {
            let (kind, name) = (self.kind, self.name);
            self.faults.at(
                lifetime,
                format!("parameter `{name}` borrows, but a {kind} owns its arguments: take a type without a lifetime"),
            );
        }
    }

    fn visit_type_impl_trait(&mut self, ty: &'ast syn::TypeImplTrait) {
        let name = self.name;
        self.faults.at(
            ty,
            format!("parameter `{name}` is `impl Trait`, which no argument can be decoded into: name a type"),
        );
    }

    fn visit_type_fn_ptr(&mut self, ty: &'ast syn::TypeFnPtr) {
        let name = self.name;
        self.faults
            .at(ty, format!("parameter `{name}` is a function, and functions do not travel"));
        visit::visit_type_fn_ptr(self, ty);
    }
}

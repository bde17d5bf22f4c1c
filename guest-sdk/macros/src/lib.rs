//! The macros of `sandmill-guest`. Authors use them through that crate, which documents the types
//! they work with.
//!
//! What lives here: reading what an author wrote ([`parse`]), saying what is wrong with it
//! ([`diagnostics`]) and writing the code for it ([`expand`], [`calls`]). All that code does is call
//! `::sandmill_guest::__rt`.

mod calls;
mod diagnostics;
mod expand;
mod kind;
mod parse;

use kind::Kind;
use proc_macro::TokenStream;

/// Makes a function a task. It stays a function, so that tests can call it.
///
/// ```ignore
/// /// Scales an image down.
/// #[sandmill_guest::task]
/// pub fn thumbnail(
///     /// A PNG or a JPEG.
///     image: Bytes,
///     /// Width in pixels.
///     #[default(128)]
///     width: u32,
///     title: Option<String>,
/// ) -> Result<Bytes, Failure> {
/// ```
///
/// The function is an ordinary one: not async, not generic, no `self`; it takes its parameters by
/// value and returns `T` or `Result<T, E>` for any `E: Into<Failure>`. Doc comments, on the
/// function and on parameters, go into the task's description. `#[default(expression)]` makes a
/// parameter optional, and so does a type `Option<T>`; a bare `#[default]` means
/// `Default::default()`.
///
/// Beside the function the attribute declares a type of the same name, which is what
/// [`export!`](macro@export) looks up: a module or a type of that name in the same scope clashes.
///
/// | key | |
/// |---|---|
/// | `name = "other-name"` | the name by which a host calls the task, instead of the function's: `[a-z0-9][a-z0-9._-]{0,127}` |
/// | `crate = path` | where `sandmill_guest` is, if the dependency was renamed |
#[proc_macro_attribute]
pub fn task(attribute: TokenStream, item: TokenStream) -> TokenStream {
    attribute_of(Kind::Task, attribute, item)
}

/// Makes a function a flow: a task that may call tasks and other flows, and that survives its host.
///
/// ```ignore
/// /// Counts the words of all files.
/// #[sandmill_guest::flow]
/// pub fn count_all(files: Vec<String>) -> Result<u64, Failure> {
///     let counts = count::map("/texts", each(&files));
///     let mut sum = 0;
///     for run in as_completed(&counts, None) {
///         sum += run?.result(None)?;
///     }
///     Ok(sum)
/// }
/// ```
///
/// Takes what [`task`](macro@task) takes, in the signature and in the attribute. In
/// [`export!`](macro@export) the word `flow` goes before its name.
#[proc_macro_attribute]
pub fn flow(attribute: TokenStream, item: TokenStream) -> TokenStream {
    attribute_of(Kind::Flow, attribute, item)
}

fn attribute_of(kind: Kind, attribute: TokenStream, item: TokenStream) -> TokenStream {
    let original = item.clone();
    match parse::task(kind, attribute.into(), item.into()) {
        Ok(task) => expand::task(task).into(),
        Err(error) => {
            // The function itself stays, so that the only errors are those of its signature.
            let mut tokens = TokenStream::from(error.into_compile_error());
            tokens.extend(parse::without_helpers(original.into()).map(TokenStream::from));
            tokens
        }
    }
}

/// Exports tasks and flows from this crate's component:
/// `sandmill_guest::export!(thumbnail, images::crop, flow album);`.
///
/// Goes once into a crate of type `cdylib`, at the level of items. Names are paths of functions
/// under `#[task]`, or, after the word `flow`, under `#[flow]`. On a target that is not WebAssembly it only checks them. With a renamed
/// dependency: `export!(crate = other_name, thumbnail)`.
#[proc_macro]
pub fn export(tasks: TokenStream) -> TokenStream {
    match parse::export(tasks.into()) {
        Ok(export) => expand::export(&export).into(),
        Err(error) => error.into_compile_error().into(),
    }
}

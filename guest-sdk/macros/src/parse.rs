//! Reads what an author wrote into [`Task`] and [`Export`], and complains about what cannot be.

use proc_macro2::{Ident, Span, TokenStream};
use quote::ToTokens;
use syn::ext::IdentExt as _;
use syn::parse::{ParseStream, Parser};
use syn::spanned::Spanned;
use syn::{
    Attribute, Error, Expr, ExprLit, FnArg, ItemFn, Lit, LitStr, Meta, Pat, Path, ReturnType,
    Token, Type,
};

use crate::diagnostics::{Faults, check_name, check_parameter_type, check_result_type};
use crate::expand::type_name;
use crate::kind::Kind;

/// A function under `#[task]` or `#[flow]`.
pub(crate) struct Task {
    pub(crate) kind: Kind,
    /// The function, without the attributes that only the macro knows.
    pub(crate) function: ItemFn,
    /// The name by which a host calls it.
    pub(crate) name: String,
    /// Its doc comment.
    pub(crate) doc: Vec<Doc>,
    pub(crate) parameters: Vec<Parameter>,
    /// What it returns; `()` when nothing is written.
    pub(crate) output: Type,
    /// Where `sandmill_guest` is.
    pub(crate) krate: Path,
}

/// One parameter of a task.
pub(crate) struct Parameter {
    pub(crate) name: String,
    pub(crate) doc: Vec<Doc>,
    pub(crate) ty: Type,
    pub(crate) default: Option<Default>,
}

/// What stands in for an argument that is missing.
pub(crate) enum Default {
    /// `#[default]`
    OfType(Span),
    /// `#[default(expression)]`
    Expression(Box<Expr>),
}

/// One line of a doc comment, or an expression such as `include_str!(…)`.
pub(crate) enum Doc {
    Text(String),
    Expression(Box<Expr>),
}

/// The tasks and flows of an `export!`.
pub(crate) struct Export {
    pub(crate) tasks: Vec<Exported>,
    /// Where `sandmill_guest` is.
    pub(crate) krate: Path,
}

/// One entry of an `export!`.
pub(crate) struct Exported {
    /// Where the function is.
    pub(crate) path: Path,
    /// Whether the word `flow` is before it.
    pub(crate) kind: Kind,
}

/// Reads the attribute and the function below it.
pub(crate) fn task(kind: Kind, attribute: TokenStream, item: TokenStream) -> syn::Result<Task> {
    let mut function = item_fn(kind, item)?;
    let mut faults = Faults::default();
    let options = options(kind, attribute, &mut faults);
    check_signature(kind, &function, &mut faults);

    let name = match &options.name {
        Some(name) => name.value(),
        None => function.sig.ident.unraw().to_string(),
    };
    let name_span = options.name.as_ref().map_or(function.sig.ident.span(), LitStr::span);
    if let Err(error) = check_name(kind, &name, name_span) {
        faults.push(error);
    }

    let inputs = function.sig.inputs.iter_mut();
    let parameters = inputs.filter_map(|input| parameter(kind, input, &mut faults)).collect();
    let output = match &function.sig.output {
        ReturnType::Default => Type::Tuple(syn::TypeTuple {
            attrs: Vec::new(),
            paren_token: syn::token::Paren::default(),
            elems: syn::punctuated::Punctuated::new(),
        }),
        ReturnType::Type(_, ty) => {
            check_result_type(ty, &mut faults);
            Type::clone(ty)
        }
    };
    let doc = docs(&function.attrs);
    let krate = options.krate.unwrap_or_else(default_crate);
    faults.or(Task { kind, function, name, doc, parameters, output, krate })
}

fn item_fn(kind: Kind, item: TokenStream) -> syn::Result<ItemFn> {
    syn::parse2::<syn::Item>(item.clone())
        .ok()
        .and_then(|item| match item {
            syn::Item::Fn(function) => Some(function),
            _ => None,
        })
        .ok_or_else(|| {
            let message = format!(
                "`#[{kind}]` goes on a function with a body: `#[{kind}] pub fn name(…) -> … {{ … }}`"
            );
            Error::new(item.span(), message)
        })
}

/// The function as it was, less the attributes on parameters that only the macro knows; `None`
/// when it is no function.
pub(crate) fn without_helpers(item: TokenStream) -> Option<TokenStream> {
    let mut function = syn::parse2::<ItemFn>(item.clone()).ok()?;
    for input in &mut function.sig.inputs {
        if let FnArg::Typed(input) = input {
            input.attrs.retain(|attribute| !is_helper(attribute));
        }
    }
    Some(function.into_token_stream())
}

fn is_helper(attribute: &Attribute) -> bool {
    attribute.path().is_ident("doc") || attribute.path().is_ident("default")
}

#[derive(std::default::Default)]
struct Options {
    name: Option<LitStr>,
    krate: Option<Path>,
}

fn options(kind: Kind, attribute: TokenStream, faults: &mut Faults) -> Options {
    const KEYS: &str = "use `name = \"…\"` or `crate = path`";

    let mut options = Options::default();
    let read = |input: ParseStream<'_>| {
        while !input.is_empty() {
            let Ok(key) = input.call(Ident::parse_any) else {
                return Err(input.error(format!("`#[{kind}]` takes keys with values: {KEYS}")));
            };
            match key.to_string().as_str() {
                "name" => {
                    input.parse::<Token![=]>()?;
                    let name = input.parse::<LitStr>().map_err(|error| {
                        Error::new(error.span(), "write the name in quotes: `name = \"…\"`")
                    })?;
                    if options.name.replace(name).is_some() {
                        faults.at(key, format!("`name` is given twice: a {kind} has one name"));
                    }
                }
                "crate" => {
                    input.parse::<Token![=]>()?;
                    if options.krate.replace(Path::parse_mod_style(input)?).is_some() {
                        faults.at(key, "`crate` is given twice: leave one out");
                    }
                }
                other => {
                    let message = format!("`#[{kind}]` knows no `{other}`: {KEYS}");
                    return Err(Error::new(key.span(), message));
                }
            }
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(())
    };
    if let Err(error) = read.parse2(attribute) {
        faults.push(error);
    }
    options
}

fn default_crate() -> Path {
    syn::parse_quote!(::sandmill_guest)
}

fn check_signature(kind: Kind, function: &ItemFn, faults: &mut Faults) {
    let signature = &function.sig;
    if let Some(token) = &signature.asyncness {
        faults.at(
            token,
            format!("a {kind} cannot be async: it has its instance to itself, so write a plain `fn` and block"),
        );
    }
    if let syn::Safety::Unsafe(token) = &signature.safety {
        faults.at(
            token,
            format!("a {kind} cannot be unsafe: any caller may run it with any arguments"),
        );
    }
    if let Some(abi) = &signature.abi {
        faults.at(abi, format!("a {kind} has no ABI of its own: `export!` makes the export"));
    }
    if let Some(variadic) = &signature.variadic {
        faults.at(variadic, format!("a {kind}'s parameters have names: take a `Vec`"));
    }
    if !signature.generics.params.is_empty() {
        faults.at(
            &signature.generics,
            format!("a {kind} cannot be generic, because its schema names types: write a function for each type"),
        );
    } else if let Some(clause) = &signature.generics.where_clause {
        faults.at(clause, format!("a {kind} cannot be generic: leave the `where` clause out"));
    }
}

fn parameter(kind: Kind, input: &mut FnArg, faults: &mut Faults) -> Option<Parameter> {
    let input = match input {
        FnArg::Typed(input) => input,
        FnArg::Receiver(receiver) => {
            faults.at(
                receiver,
                format!("a {kind} cannot take `self`, because each run has an instance of its own: write a free function"),
            );
            return None;
        }
    };
    let doc = docs(&input.attrs);
    let mut default = None;
    for attribute in &input.attrs {
        if attribute.path().is_ident("default") {
            if default.is_some() {
                faults.at(attribute, "a parameter has one default");
            }
            default = match &attribute.meta {
                Meta::Path(path) => Some(Default::OfType(path.span())),
                Meta::List(list) => match list.parse_args() {
                    Ok(expression) => Some(Default::Expression(Box::new(expression))),
                    Err(_) => {
                        faults.at(attribute, "write one expression: `#[default(128)]`");
                        None
                    }
                },
                Meta::NameValue(_) => {
                    faults.at(attribute, "write the default in parentheses: `#[default(128)]`");
                    None
                }
            };
        } else if attribute.path().is_ident("cfg") || attribute.path().is_ident("cfg_attr") {
            faults.at(
                attribute,
                format!(
                    "a {kind}'s parameters are the same in every build: put `cfg` on the function"
                ),
            );
        }
    }
    input.attrs.retain(|attribute| !is_helper(attribute));

    let ident = match &*input.pat {
        Pat::Ident(pattern) if pattern.by_ref.is_none() && pattern.subpat.is_none() => {
            pattern.ident.clone()
        }
        pattern => {
            faults.at(
                pattern,
                format!("a {kind}'s parameter needs a plain name, by which callers give it: take it apart in the body"),
            );
            return None;
        }
    };
    let name = Ident::unraw(&ident).to_string();
    check_parameter_type(kind, &name, &input.ty, faults);
    Some(Parameter { name, doc, ty: Type::clone(&input.ty), default })
}

fn docs(attributes: &[Attribute]) -> Vec<Doc> {
    let values = attributes.iter().filter_map(|attribute| match &attribute.meta {
        Meta::NameValue(meta) if meta.path.is_ident("doc") => Some(&meta.value),
        _ => None,
    });
    values
        .map(|value| match value {
            Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => {
                let text = text.value();
                // `///` leaves the space that follows it.
                let lines = text.lines().map(|line| line.strip_prefix(' ').unwrap_or(line));
                Doc::Text(lines.collect::<Vec<_>>().join("\n"))
            }
            other => Doc::Expression(Box::new(other.clone())),
        })
        .collect()
}

/// Reads the inside of an `export!`.
pub(crate) fn export(tokens: TokenStream) -> syn::Result<Export> {
    let read = |input: ParseStream<'_>| {
        let mut krate = None;
        if input.peek(Token![crate]) && input.peek2(Token![=]) {
            input.parse::<Token![crate]>()?;
            input.parse::<Token![=]>()?;
            krate = Some(Path::parse_mod_style(input)?);
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        let mut tasks = Vec::new();
        while !input.is_empty() {
            tasks.push(exported(input)?);
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok((krate, tasks))
    };
    let (krate, tasks) = read.parse2(tokens)?;
    let mut faults = Faults::default();
    if tasks.is_empty() {
        faults.push(Error::new(
            Span::call_site(),
            "`export!` needs at least one task: `export!(thumbnail)`",
        ));
    }
    let names: Vec<_> = tasks.iter().map(|task| type_name(&task.path)).collect();
    for (index, (task, name)) in tasks.iter().zip(&names).enumerate() {
        if names[..index].contains(name) {
            faults.at(&task.path, format!("`{name}` is exported twice: leave one out"));
        }
    }
    faults.or(Export { tasks, krate: krate.unwrap_or_else(default_crate) })
}

/// Reads a path, and the word before it. A task that is called `flow` is one all the same.
fn exported(input: ParseStream<'_>) -> syn::Result<Exported> {
    let ahead = input.fork();
    let is_flow = ahead.call(Ident::parse_any).is_ok_and(|word| word == "flow")
        && !ahead.is_empty()
        && !ahead.peek(Token![,])
        && !ahead.peek(Token![::]);
    if is_flow {
        input.call(Ident::parse_any)?;
    }
    let path = Path::parse_mod_style(input).map_err(|error| {
        Error::new(
            error.span(),
            "`export!` takes the paths of functions under `#[task]`: `export!(thumbnail, images::crop)`; \
             the word `flow` goes before those under `#[flow]`: `export!(count, flow census)`",
        )
    })?;
    Ok(Exported { path, kind: if is_flow { Kind::Flow } else { Kind::Task } })
}

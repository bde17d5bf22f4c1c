//! Writes what a flow calls a task or a flow by: `count::submit(…)`, `count::map(…)` and
//! `count::with(options)`. The work is in `sandmill_guest::flow`.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{GenericArgument, PathArguments, Type};

use crate::expand::QUIET;
use crate::parse::{Parameter, Task};

/// The functions beside those that a task is described and run by. Goes where no name of its own
/// is in the way of the author's.
pub(crate) fn calls(task: &Task, rt: &TokenStream) -> TokenStream {
    let Task { kind, function, parameters, output, .. } = task;
    let ident = &function.sig.ident;
    let visibility = &function.vis;
    let value = value_type(output);
    let call_type = Ident::new("__SandmillCall", Span::mixed_site());
    let quiet = quote! {
        #[allow(
            dead_code, unreachable_pub, private_interfaces, private_bounds,
            clippy::too_many_arguments, clippy::allow_attributes, reason = #QUIET
        )]
    };

    let names: Vec<Ident> = parameters.iter().map(argument_name).collect();
    let submitted = parameters.iter().zip(&names).map(|(parameter, name)| {
        let ty = &parameter.ty;
        let bound = match parameter.default {
            None => quote!(Argument),
            Some(_) => quote!(DefaultedArgument),
        };
        quote_spanned!(ty.span()=> #name: impl #rt::#bound<#ty>)
    });
    let submitted: Vec<_> = submitted.collect();
    let given =
        parameters.iter().zip(&names).map(|(Parameter { name: key, ty, default, .. }, name)| {
            match default {
                None => quote!(.give(#key, #rt::Argument::<#ty>::give(#name))),
                Some(_) => {
                    quote!(.give(#key, #rt::DefaultedArgument::<#ty>::give_or_default(#name)))
                }
            }
        });
    let submit_doc = format!(
        " Calls the {kind} from a flow. Never fails and does not wait: what is wrong with the call is \
         the outcome of its run."
    );
    let with_doc = format!(" The {kind}, called with options.");
    let map = (!parameters.is_empty()).then(|| map(task, rt, &names, &value, &quiet));
    let (map_here, map_there) = map.unzip();

    quote! {
        /// A call in the making: only its arguments are missing.
        #quiet
        pub struct #call_type(#rt::Options);

        #quiet
        impl #ident {
            #[doc = #with_doc]
            #visibility fn with(options: #rt::Options) -> #call_type {
                #call_type(options)
            }

            #[doc = #submit_doc]
            #visibility fn submit(#(#submitted),*) -> #rt::TaskFuture<#value> {
                Self::with(#rt::Options::new()).submit(#(#names),*)
            }

            #map_here
        }

        #quiet
        impl #call_type {
            #[doc = #submit_doc]
            #visibility fn submit(self, #(#submitted),*) -> #rt::TaskFuture<#value> {
                #rt::OwnCall::new(<#ident as #rt::Task>::ENTRY, self.0)
                    #(#given)*
                    .submit()
            }

            #map_there
        }
    }
}

/// The two functions `map`: one that goes with the other `submit`, and one with options.
fn map(
    task: &Task,
    rt: &TokenStream,
    names: &[Ident],
    value: &TokenStream,
    quiet: &TokenStream,
) -> (TokenStream, TokenStream) {
    let Task { kind, function, parameters, .. } = task;
    let (ident, visibility) = (&function.sig.ident, &function.vis);
    // Named, so that the check can ask each whether it is an `each(…)`.
    let types: Vec<Ident> = (0..parameters.len())
        .map(|index| format_ident!("__Argument{index}", span = Span::mixed_site()))
        .collect();
    let bounds = parameters.iter().zip(&types).map(|(parameter, generic)| {
        let ty = &parameter.ty;
        match parameter.default {
            None => quote_spanned!(ty.span()=> #generic: #rt::MapArgument<#ty>),
            Some(_) => quote_spanned!(ty.span()=> #generic: #rt::DefaultedMapArgument<#ty>),
        }
    });
    let bounds: Vec<_> = bounds.collect();
    let traits = parameters.iter().map(|Parameter { ty, default, .. }| match default {
        None => quote!(#rt::MapArgument::<#ty>),
        Some(_) => quote!(#rt::DefaultedMapArgument::<#ty>),
    });
    let is_each = traits.zip(&types).map(|(bound, generic)| quote!(<#generic as #bound>::IS_EACH));
    let given =
        parameters.iter().zip(names).map(|(Parameter { name: key, ty, default, .. }, name)| {
            match default {
                None => quote!(.give(#key, #rt::MapArgument::<#ty>::give_to_map(#name))),
                Some(_) => quote!(
                    .give(#key, #rt::DefaultedMapArgument::<#ty>::give_to_map_or_default(#name))
                ),
            }
        });
    let doc = format!(
        " Calls the {kind} from a flow once for each element of what is given with `each(…)`; every \
         call is given the rest alike."
    );
    let here = quote! {
        #[doc = #doc]
        #quiet
        #visibility fn map<#(#bounds),*>(#(#names: #types),*) -> #rt::FutureList<#value> {
            Self::with(#rt::Options::new()).map(#(#names),*)
        }
    };
    let there = quote! {
        #[doc = #doc]
        #quiet
        #visibility fn map<#(#bounds),*>(self, #(#names: #types),*) -> #rt::FutureList<#value> {
            const { #rt::assert_maps(&[#(#is_each),*]) };
            #rt::OwnCall::new(<#ident as #rt::Task>::ENTRY, self.0)
                #(#given)*
                .map()
        }
    };
    (here, there)
}

/// What the parameter is called in the functions for callers.
fn argument_name(parameter: &Parameter) -> Ident {
    match syn::parse_str::<Ident>(&parameter.name) {
        Ok(name) => name,
        // A keyword.
        Err(_) => Ident::new_raw(&parameter.name, Span::call_site()),
    }
}

/// The type of the result, by the look of it: what a `Result<T, E>` holds, else the type itself.
/// An alias of a whole `Result` keeps its name, and a flow that reads such a result is told so.
fn value_type(output: &Type) -> TokenStream {
    let Type::Path(path) = output else { return quote!(#output) };
    let Some(last) = path.path.segments.last().filter(|last| last.ident == "Result") else {
        return quote!(#output);
    };
    let PathArguments::AngleBracketed(arguments) = &last.arguments else {
        // `std::fmt::Result` and its like.
        return quote!(());
    };
    let first = arguments.args.iter().find_map(|argument| match argument {
        GenericArgument::Type(ty) => Some(ty),
        _ => None,
    });
    first.map_or_else(|| quote!(#output), |ty| quote!(#ty))
}

//! The route table: one line serves a route and documents it.
//!
//! What the document says of an operation is what its handler takes and gives, read from its own signature ([`Input`], [`Output`]), so that
//! neither can change without the other. Only what a type cannot tell is added by hand, with [`Methods::also`].

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::handler::Handler;
use axum::http::Method;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, MethodRouter};

use super::answer::{self, Answer, Created, NoContent};
use super::jobs;
use super::openapi::Description;
use crate::app::App;
use crate::problem::Problem;
use crate::role::Role;

/// Part of a request, as the document has it.
pub(super) trait Input {
    fn describe(operation: &mut Description<'_>);
}

/// What a handler answers with, as the document has it.
pub(super) trait Output: IntoResponse {
    /// Whether the client chooses between JSON and `MessagePack`.
    const IS_STRUCTURED: bool = false;

    fn describe(operation: &mut Description<'_>);
}

/// A handler that tells what it takes and gives.
pub(super) trait Described<T>: Handler<T, Arc<App>> {
    type Output: Output;

    fn describe(operation: &mut Description<'_>);
}

macro_rules! described {
    ($($input:ident)*) => {
        impl<F, Fut, O, M, $($input,)*> Described<(M, $($input,)*)> for F
        where
            F: FnOnce($($input,)*) -> Fut + Handler<(M, $($input,)*), Arc<App>>,
            Fut: Future<Output = O>,
            O: Output,
            $($input: Input,)*
        {
            type Output = O;

            fn describe(operation: &mut Description<'_>) {
                $($input::describe(operation);)*
                O::describe(operation);
            }
        }
    };
}

described!(A);
described!(A B);
described!(A B C);
described!(A B C D);
described!(A B C D E);

impl<F, Fut, O> Described<((),)> for F
where
    F: FnOnce() -> Fut + Handler<((),), Arc<App>>,
    Fut: Future<Output = O>,
    O: Output,
{
    type Output = O;

    fn describe(operation: &mut Description<'_>) {
        O::describe(operation);
    }
}

/// Routes, as they are served and as they are documented.
#[derive(Default)]
pub(super) struct Routes {
    /// What remembers the jobs; nothing where nothing is served.
    app: Option<Arc<App>>,
    pub(super) router: Router<Arc<App>>,
    pub(super) operations: Vec<(String, Operation)>,
}

/// One method of a route.
pub(super) struct Operation {
    pub(super) method: &'static str,
    /// What it does, in a few words.
    pub(super) summary: &'static str,
    pub(super) describe: Vec<fn(&mut Description<'_>)>,
}

impl Routes {
    /// No routes yet, of which those that take long may become jobs of this application.
    pub(super) fn of(app: Option<&Arc<App>>) -> Self {
        Self { app: app.cloned(), ..Self::default() }
    }

    pub(super) fn route(mut self, path: &str, methods: Methods) -> Self {
        let mut router = methods.router;
        if let Some(app) = self.app.as_ref().filter(|_| methods.is_long) {
            router = router.route_layer(from_fn_with_state(Arc::clone(app), jobs::perhaps_later));
        }
        self.router = self.router.route(path, router);
        self.operations.extend(methods.operations.into_iter().map(|operation| (path.to_owned(), operation)));
        self
    }

    /// Refuses, with better words than the router has, what is no operation of the document.
    pub(super) fn refuse(mut self, path: &str, refusal: MethodRouter<Arc<App>>) -> Self {
        self.router = self.router.route(path, refusal);
        self
    }

    pub(super) fn nest(mut self, base: &str, below: Self) -> Self {
        self.router = self.router.nest(base, below.router);
        let operations = below.operations.into_iter();
        self.operations.extend(operations.map(|(path, operation)| (format!("{base}{path}"), operation)));
        self
    }

    /// As they are documented where acts of administrators are not answered.
    pub(super) fn without_admin(mut self) -> Self {
        self.operations.retain(|(path, operation)| operation.role(path) < Role::Admin);
        self
    }

    pub(super) fn merge(mut self, others: Self) -> Self {
        self.router = self.router.merge(others.router);
        self.operations.extend(others.operations);
        self
    }
}

impl Operation {
    /// What a token has to be good for.
    pub(super) fn role(&self, path: &str) -> Role {
        let method = self.method.to_uppercase().parse().unwrap_or(Method::GET);
        Role::needed(&method, Some(path))
    }
}

/// The methods of one route.
pub(super) struct Methods {
    router: MethodRouter<Arc<App>, Infallible>,
    /// Whether a client need not wait for them.
    is_long: bool,
    operations: Vec<Operation>,
}

impl Methods {
    fn and<H, T>(
        mut self,
        method: &'static str,
        filter: MethodFilter,
        (handler, summary): (H, &'static str),
    ) -> Self
    where
        H: Described<T>,
        T: 'static,
    {
        let mut router = MethodRouter::new().on(filter, handler);
        if H::Output::IS_STRUCTURED {
            router = router.route_layer(from_fn(answer::negotiate));
        }
        self.router = self.router.merge(router);
        self.operations.push(Operation { method, summary, describe: vec![H::describe] });
        self
    }

    /// Becomes a job where the client prefers that; all methods so far.
    pub(super) fn or_later(mut self) -> Self {
        for operation in &mut self.operations {
            operation.describe.push(jobs::describe_later);
        }
        self.is_long = true;
        self
    }

    /// Says of the last method what its types do not.
    pub(super) fn also(mut self, describe: fn(&mut Description<'_>)) -> Self {
        if let Some(operation) = self.operations.last_mut() {
            operation.describe.push(describe);
        }
        self
    }
}

macro_rules! methods {
    ($($name:ident $filter:ident)*) => {
        impl Methods {
            $(
                /// And this method.
                pub(super) fn $name<H: Described<T>, T: 'static>(self, handler: H, summary: &'static str) -> Self {
                    self.and(stringify!($name), MethodFilter::$filter, (handler, summary))
                }
            )*
        }
    };
}

methods!(get GET head HEAD put PUT patch PATCH post POST delete DELETE);

macro_rules! begins {
    ($($name:ident)*) => {
        $(
            /// A route whose first method this is.
            pub(super) fn $name<H: Described<T>, T: 'static>(handler: H, summary: &'static str) -> Methods {
                Methods { router: MethodRouter::new(), is_long: false, operations: Vec::new() }.$name(handler, summary)
            }
        )*
    };
}

begins!(get post delete);

impl<S> Input for State<S> {
    fn describe(_: &mut Description<'_>) {}
}

impl<A: Input, B: Input> Input for (A, B) {
    fn describe(operation: &mut Description<'_>) {
        A::describe(operation);
        B::describe(operation);
    }
}

impl<T: serde::Serialize + schemars::JsonSchema> Output for Answer<T> {
    const IS_STRUCTURED: bool = true;

    fn describe(operation: &mut Description<'_>) {
        operation.answers::<T>(200, "done");
    }
}

impl<T: serde::Serialize + schemars::JsonSchema> Output for Created<T> {
    const IS_STRUCTURED: bool = true;

    fn describe(operation: &mut Description<'_>) {
        operation.answers::<T>(201, "made");
    }
}

impl Output for NoContent {
    fn describe(operation: &mut Description<'_>) {
        operation.answers_nothing(204, "done");
    }
}

impl Output for &'static str {
    fn describe(operation: &mut Description<'_>) {
        operation.answers_bytes(200, "a word", "text/plain; charset=utf-8");
    }
}

/// Says nothing: what is answered stands in the route table.
impl Output for Response {
    fn describe(_: &mut Description<'_>) {}
}

impl<O: Output> Output for Result<O, Problem> {
    const IS_STRUCTURED: bool = O::IS_STRUCTURED;

    fn describe(operation: &mut Description<'_>) {
        O::describe(operation);
    }
}

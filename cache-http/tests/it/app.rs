//! An application behind a limit, on a port of this machine, and a client of it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use axum::extract::ConnectInfo;
use axum::routing::get;
use axum::{Extension, Router};
use cache_core::KeyError;
use cache_http::limit::{Caller, Decided, Hops, LimitLayer};
use cache_ratelimit::{Class, Subject};
use http::request::Parts;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

/// It ends with this.
pub(crate) struct App {
    address: SocketAddr,
    /// How many requests have reached the handler.
    handled: Arc<AtomicU64>,
    server: AbortHandle,
}

impl App {
    /// Runs the application behind this layer.
    pub(crate) async fn start(layer: LimitLayer) -> Self {
        let handled = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&handled);
        let hello = move |decided: Option<Extension<Decided>>| {
            count.fetch_add(1, SeqCst);
            std::future::ready(format!("{:?}", decided.map(|Extension(Decided(by))| by)))
        };
        let router = Router::new().route("/", get(hello.clone())).route("/healthz", get(hello)).layer(layer);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        let server = tokio::spawn(async move { axum::serve(listener, service).await });
        Self { address, handled, server: server.abort_handle() }
    }

    pub(crate) fn handled(&self) -> u64 {
        self.handled.load(SeqCst)
    }

    /// A connection to it.
    pub(crate) async fn client(&self) -> Client {
        Client::connect(self.address).await
    }
}

impl Drop for App {
    fn drop(&mut self) {
        self.server.abort();
    }
}

pub(crate) struct Client(hyper::client::conn::http1::SendRequest<Full<Bytes>>);

/// What the client got.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) fields: BTreeMap<String, String>,
    pub(crate) body: String,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("it listens");
        let (sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("it speaks HTTP");
        tokio::spawn(connection);
        Self(sender)
    }

    pub(crate) async fn get(&mut self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.send("GET", path, headers, "").await
    }

    /// The host is `localhost`, unless it is given.
    pub(crate) async fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let (head, body) = self.begin(method, path, headers, body).await.into_parts();
        let mut fields: BTreeMap<String, String> = BTreeMap::new();
        for (name, value) in &head.headers {
            let value = value.to_str().expect("text");
            let field = fields.entry(name.to_string());
            field.and_modify(|all| *all = format!("{all}, {value}")).or_insert(value.to_owned());
        }
        let body = body.collect().await.expect("a whole body").to_bytes();
        let body = String::from_utf8(body.to_vec()).expect("text");
        Answer { status: head.status, fields, body }
    }

    /// The head of the answer, with a body that is still to come.
    pub(crate) async fn begin(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Response<Incoming> {
        let mut request = Request::builder().method(method).uri(path);
        if !headers.iter().any(|(name, _)| *name == "host") {
            request = request.header("host", "localhost");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body.to_owned().into())).expect("a legal request");
        self.0.ready().await.expect("the connection lasts");
        self.0.send_request(request).await.expect("an answer")
    }

    /// How many of so many requests are admitted.
    pub(crate) async fn admitted(&mut self, times: u64, headers: &[(&str, &str)]) -> u64 {
        let mut admitted = 0;
        for _ in 0..times {
            admitted += u64::from(self.get("/", headers).await.status == StatusCode::OK);
        }
        admitted
    }
}

impl Answer {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(String::as_str)
    }

    /// A whole number in a field.
    pub(crate) fn number(&self, name: &str) -> u64 {
        self.field(name)
            .and_then(|value| value.parse().ok())
            .unwrap_or_else(|| panic!("no {name} in {self:?}"))
    }
}

/// Whose request it is: what its token says, which a real application would check; else its address, behind so many hops.
pub(crate) fn identify(hops: Hops) -> impl Fn(&Parts) -> Result<Caller, KeyError> + Send + Sync + 'static {
    move |request| {
        if request.uri.path() == "/healthz" {
            return Ok(Caller::Exempt);
        }
        let token = request.headers.get("authorization").and_then(|value| value.to_str().ok());
        if let Some((class, name)) = token.and_then(|token| token.split_once(' ')) {
            let class =
                Class::ALL.into_iter().find(|known| known.name() == class).unwrap_or(Class::Anonymous);
            return Ok(Caller::new(class, Subject::named(name)?));
        }
        let peer = request.extensions.get::<ConnectInfo<SocketAddr>>().expect("axum was asked to tell");
        let address = hops.caller(&request.headers, peer.0.ip());
        Ok(Caller::new(Class::Anonymous, Subject::address(address)?))
    }
}

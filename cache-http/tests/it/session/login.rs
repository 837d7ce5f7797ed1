//! An application on axum with the middleware of `tower-sessions` over this store, and a client that keeps cookies: after the examples
//! of `tower-sessions`.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use axum::Router;
use axum::extract::{Path, State};
use axum::routing::{get, post};
use cache_http::session::{Data, Sessions, builder};
use strata::codec::Keyring;
use time::Duration;
use tokio::net::TcpListener;
use tokio::task::AbortHandle;
use tower_sessions::session::{Id, Record};
use tower_sessions::{Expiry, Session, SessionManagerLayer, SessionStore};

use super::key;
use crate::app::{Answer, Client};

type Store = Sessions<Data>;

fn store() -> Store {
    Sessions::new(builder("web", Keyring::new(1, key(1))).build().expect("legal")).with_user_key("user")
}

async fn who(session: Session) -> String {
    session.get::<String>("user").await.expect("no error").unwrap_or_else(|| "nobody".to_owned())
}

/// The counter of the example `counter`.
async fn count(session: Session) -> String {
    let count: usize = session.get("count").await.expect("no error").unwrap_or_default();
    session.insert("count", count + 1).await.expect("no error");
    count.to_string()
}

async fn login(session: Session, Path(user): Path<String>) {
    session.cycle_id().await.expect("no error");
    session.insert("user", user).await.expect("no error");
}

async fn logout(session: Session) {
    session.flush().await.expect("no error");
}

async fn log_out_everywhere(State(store): State<Store>, session: Session) {
    let user: String = session.get("user").await.expect("no error").expect("logged in");
    store.revoke_all(&user).await.expect("no error");
}

struct App {
    address: SocketAddr,
    server: AbortHandle,
}

impl App {
    async fn start(store: Store) -> Self {
        let layer = SessionManagerLayer::new(store.clone())
            .with_secure(false)
            .with_expiry(Expiry::OnInactivity(Duration::minutes(10)));
        let router = Router::new()
            .route("/", get(who))
            .route("/count", get(count))
            .route("/login/{user}", post(login))
            .route("/logout", post(logout))
            .route("/log-out-everywhere", post(log_out_everywhere))
            .layer(layer)
            .with_state(store);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let server = tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, server: server.abort_handle() }
    }
}

impl Drop for App {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// A client that keeps cookies, as a browser does.
struct Browser {
    client: Client,
    jar: BTreeMap<String, String>,
}

impl Browser {
    async fn open(app: &App) -> Self {
        Self { client: Client::connect(app.address).await, jar: BTreeMap::new() }
    }

    async fn ask(&mut self, method: &str, path: &str) -> Answer {
        let cookie =
            self.jar.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ");
        let headers: &[(&str, &str)] = if cookie.is_empty() { &[] } else { &[("cookie", &cookie)] };
        let answer = self.client.send(method, path, headers, "").await;
        if let Some(set) = answer.field("set-cookie") {
            let (pair, attributes) = set.split_once(';').expect("attributes");
            let (name, value) = pair.split_once('=').expect("a cookie");
            if attributes.contains("Max-Age=0") {
                self.jar.remove(name);
            } else {
                assert!(attributes.contains("HttpOnly") && attributes.contains("SameSite=Strict"), "{set}");
                self.jar.insert(name.to_owned(), value.to_owned());
            }
        }
        answer
    }

    async fn who(&mut self) -> String {
        self.ask("GET", "/").await.body
    }
}

#[tokio::test]
async fn a_visitor_logs_in_and_out() {
    let store = store();
    let app = App::start(store.clone()).await;
    let mut ada = Browser::open(&app).await;
    assert_eq!(ada.who().await, "nobody");
    assert!(ada.jar.is_empty(), "who has nothing to keep gets no cookie");
    for count in 0..3 {
        assert_eq!(ada.ask("GET", "/count").await.body, count.to_string());
    }
    let before = ada.jar.clone();
    ada.ask("POST", "/login/ada").await;
    assert_eq!(ada.who().await, "ada");
    assert_eq!(ada.ask("GET", "/count").await.body, "3", "what was in the session came along");
    assert_ne!(ada.jar, before);

    // Whoever had planted the id before the login, or has kept it, has nothing.
    let mut thief = Browser::open(&app).await;
    thief.jar = before;
    assert_eq!(thief.who().await, "nobody");

    let logged_in = ada.jar.clone();
    ada.ask("POST", "/logout").await;
    assert!(ada.jar.is_empty());
    assert_eq!(ada.who().await, "nobody");
    thief.jar = logged_in;
    assert_eq!(thief.who().await, "nobody", "the id of a session that was ended");
    assert_eq!(store.cache().memory().len(), 0);
}

#[tokio::test]
async fn an_id_that_nobody_was_given_is_never_taken_over() {
    let app = App::start(store()).await;
    let mut ada = Browser::open(&app).await;
    let planted = Id(7).to_string();
    ada.jar.insert("id".to_owned(), planted.clone());
    ada.ask("GET", "/count").await;
    assert_ne!(ada.jar["id"], planted, "it is a session of its own");
    for odd in ["", "x", "../../etc/passwd", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"] {
        ada.jar.insert("id".to_owned(), odd.to_owned());
        assert_eq!(
            (ada.ask("GET", "/").await.status.as_u16(), ada.who().await.as_str()),
            (200, "nobody"),
            "{odd}"
        );
    }
}

#[tokio::test]
async fn a_user_logs_out_everywhere_and_nobody_else() {
    let store = store();
    // Two processes of the application, as far as cookies go.
    let apps = [App::start(store.clone()).await, App::start(store.clone()).await];
    let (mut phone, mut desk, mut bob) =
        (Browser::open(&apps[0]).await, Browser::open(&apps[1]).await, Browser::open(&apps[1]).await);
    for (browser, user) in [(&mut phone, "ada"), (&mut desk, "ada"), (&mut bob, "bob")] {
        browser.ask("POST", &format!("/login/{user}")).await;
        assert_eq!(browser.who().await, user);
    }
    phone.ask("POST", "/log-out-everywhere").await;
    assert_eq!(
        (phone.who().await, desk.who().await, bob.who().await),
        ("nobody".into(), "nobody".into(), "bob".into())
    );
}

#[tokio::test]
async fn the_store_keeps_the_contract_of_the_middleware() {
    let store = store();
    let mut record = Record {
        id: Id(1),
        data: [
            ("user".to_owned(), 7.into()),
            ("deep".to_owned(), serde_json::json!({"a": [1.5, null, "x"]})),
        ]
        .into(),
        expiry_date: time::OffsetDateTime::now_utc() + Duration::minutes(5),
    };
    SessionStore::create(&store, &mut record).await.expect("created");
    let loaded = store.load(&record.id).await.expect("no error").expect("there");
    assert_eq!((&loaded.id, &loaded.data), (&record.id, &record.data));
    assert!((loaded.expiry_date - record.expiry_date).abs() < Duration::milliseconds(1));

    let mut same = record.clone();
    SessionStore::create(&store, &mut same).await.expect("created");
    assert_ne!(same.id, record.id, "an id is given once");

    record.data.insert("more".to_owned(), true.into());
    store.save(&record).await.expect("saved");
    assert_eq!(store.load(&record.id).await.expect("no error").expect("there").data, record.data);
    assert_eq!(store.revoke_all("7").await.expect("no error"), 2, "a number names a user too");
    store.save(&record).await.expect("no error, as it is not the caller's fault");
    assert!(store.load(&record.id).await.expect("no error").is_none(), "what was revoked does not come back");

    let mut past = Record { expiry_date: time::OffsetDateTime::now_utc() - Duration::minutes(1), ..record };
    SessionStore::create(&store, &mut past).await.expect("no error");
    assert!(store.load(&past.id).await.expect("no error").is_none());
    store.delete(&past.id).await.expect("no error");
}

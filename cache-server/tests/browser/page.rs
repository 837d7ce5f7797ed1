//! What a person sees and does.

use std::path::Path;
use std::time::Duration;

use cache_testkit::redis::Server as Redis;
use serde_json::json;

use crate::chromium::{DESKTOP, Look, PHONE, Tab};
use crate::server::Running;

const LIVE: &str = "document.getElementById('link').textContent === 'live'";
const ROWS: &str =
    "[...document.querySelectorAll('#keys tr td:first-child')].map((cell) => cell.textContent)";
const SHOW_KEYS: &str = "document.getElementById('browse').requestSubmit()";

async fn open(server: &Running, look: Look) -> Tab {
    let mut tab = Tab::open(look).await;
    tab.go(&format!("http://{}/", server.address)).await;
    tab.until(LIVE).await;
    tab
}

/// Some of everything: hits, misses, evictions, tags, and a key that would like to be markup.
async fn traffic(server: &Running) {
    let entries: Vec<_> = (0..200)
        .map(|at| json!({"key": format!("user:{at}"), "value": at, "tags": ["users"], "ttl": 600}))
        .collect();
    server.json("POST", "/v1/set-many", json!({"entries": entries})).await.expect(200);
    server.json("POST", "/v1/regions/small/set-many", json!({"entries": entries})).await.expect(200);
    let hostile =
        "%3Cscript%3Edocument.title%3D1%3C%2Fscript%3E%3Cimg%20src%3Dx%20onerror%3Ddocument.title%3D1%3E";
    let put = server.put(&format!("/v1/entries/{hostile}?tags=%3Cb%3E"), "v").await;
    assert!([201, 204].contains(&put.status), "{}", put.text());
    let hot = json!({"keys": ["user:1"]});
    for _ in 0..400 {
        server.json("POST", "/v1/get-many", hot.clone()).await.expect(200);
    }
    let all: Vec<_> = (0..2000).map(|at| format!("user:{at}")).collect();
    server.json("POST", "/v1/regions/small/get-many", json!({"keys": all})).await.expect(200);
    server.clock.advance(Duration::from_secs(6));
}

const SETTINGS: &str = "[region.small]\nmax_entries = 50";

#[tokio::test]
async fn the_page_is_loaded_from_this_server_alone_and_nothing_is_refused() {
    let server = Running::start(SETTINGS).await;
    traffic(&server).await;
    let mut tab = open(&server, DESKTOP).await;
    tab.value(SHOW_KEYS).await;
    tab.until(&format!("{ROWS}.length === 25")).await;
    let own = format!("http://{}/", server.address);
    assert!(tab.requests.len() >= 6, "{:?}", tab.requests);
    assert!(tab.requests.iter().all(|url| url.starts_with(&own)), "{:?}", tab.requests);
    assert_eq!(tab.complaints, [""; 0]);
    assert_eq!(tab.value("document.getElementById('status').textContent").await, "healthy");
}

#[tokio::test]
async fn charts_and_figures_change_when_traffic_comes() {
    let server = Running::start(SETTINGS).await;
    let mut tab = open(&server, DESKTOP).await;
    assert_eq!(tab.value("document.getElementById('hit-ratio').textContent").await, "–");
    assert_eq!(tab.value("document.querySelector('.line.c0').getAttribute('d')").await, "");
    traffic(&server).await;
    tab.until("document.querySelector('.line.c0').getAttribute('d').startsWith('M')").await;
    let before = tab.value("document.querySelector('.chart:nth-child(2) .line').getAttribute('d')").await;
    traffic(&server).await;
    let changed = "document.querySelector('.chart:nth-child(2) .line').getAttribute('d')";
    tab.until(&format!("{changed} !== {before}")).await;
    let label = tab.value("document.querySelector('.chart svg').getAttribute('aria-label')").await;
    assert!(
        label
            .as_str()
            .is_some_and(|label| label.starts_with("Hit ratio over the last five minutes; now hits "))
    );
    let insights = tab.value("document.getElementById('insights').textContent").await;
    assert!(insights.as_str().is_some_and(|text| text.contains("of small were hits")), "{insights}");
    let advice = tab.value("document.getElementById('advice').textContent").await;
    assert!(advice.as_str().is_some_and(|text| text.contains("region.small.max_entries")), "{advice}");
    // All of small's 2,000 keys were read twice, and 50 of them were there.
    let first = "[...document.querySelectorAll('#prefixes tr:first-child td')].map((cell) => cell.textContent).join('|')";
    assert_eq!(tab.value(first).await, "user:|small|4,000|2.5 %");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_is_away_is_shown_with_its_breaker_and_the_bus() {
    let mut redis = Redis::start();
    let server = Running::start(&format!("redis_url = \"redis://{}\"", redis.address())).await;
    server.put("/v1/entries/k", "v").await.expect(201);
    let mut tab = open(&server, DESKTOP).await;
    let rows =
        "[...document.querySelectorAll('#tiers tr')].filter((row) => row.cells[0].textContent === 'default')";
    let state = |tier: &str| {
        format!("{rows}.find((row) => row.cells[1].textContent === '{tier}')?.cells[2].textContent || ''")
    };
    tab.until(&format!("{} === 'breaker closed'", state("redis"))).await;
    tab.until(&format!("{} === 'hears of every change'", state("bus"))).await;
    redis.kill();
    // It opens after some failures.
    for at in 0..10 {
        server.get(&format!("/v1/entries/none:{at}")).await.expect(404);
    }
    tab.until(&format!("{}.startsWith('breaker open for ')", state("redis"))).await;
    tab.until(&format!("{}.startsWith('may have missed some')", state("bus"))).await;
    redis.restart();
    tab.until(&format!("{} === 'breaker closed'", state("redis"))).await;
    tab.until(&format!("{} === 'hears of every change'", state("bus"))).await;
}

#[tokio::test]
async fn warmers_their_scheduler_and_budget_and_long_work_are_shown() {
    // A source that says nothing, so that whoever asks it is at work for as long as the test wants.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}/", silent.local_addr().expect("a bound port"));
    let server = Running::start(&format!(
        "warming_enabled = false\n[budget.supplier]\nlimit = 4\nwindow = \"1h\"\n[warmer.products]\nurl = {url:?}\nbudget = \"supplier\""
    ))
    .await;
    let begun =
        server.send("POST", "/v1/warming/trigger", &[("prefer", "respond-async")], "").await.expect(202);
    let mut tab = open(&server, DESKTOP).await;
    let text = |id: &str| format!("document.getElementById('{id}').textContent");
    tab.until(&format!(
        "{}.includes('Strategy normal') && {}.includes('1 running')",
        text("scheduler"),
        text("scheduler")
    ))
    .await;
    let budget = tab
        .value("[...document.querySelectorAll('#budgets td')].map((cell) => cell.textContent).join('|')")
        .await;
    assert_eq!(budget, "supplier|4 in 1 h|25 %|1|0|0|100 %");
    tab.until(&format!("{}.startsWith('POST /v1/warming/triggerrunning0')", text("jobs"))).await;
    for (name, look) in [("light", DESKTOP), ("phone", PHONE)] {
        tab.look(look).await;
        tab.until(&format!("innerWidth === {}", look.width)).await;
        assert_eq!(tab.value("document.documentElement.scrollWidth").await, look.width, "{name}");
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pages");
        std::fs::create_dir_all(&folder).expect("a folder");
        std::fs::write(folder.join(format!("work-{name}.png")), tab.picture().await).expect("a picture");
    }
    // Ended by hand, and seen to have been.
    tab.value("document.querySelector('#jobs button').click()").await;
    tab.until(&format!("{}.includes('cancelled')", text("jobs"))).await;
    assert_eq!(server.get(begun.header("location")).await.json()["state"], "cancelled");
    assert_eq!(tab.complaints, [""; 0]);
}

#[tokio::test]
async fn a_key_that_looks_like_markup_is_text_and_can_be_removed_once_confirmed() {
    let server = Running::start(SETTINGS).await;
    traffic(&server).await;
    let mut tab = open(&server, DESKTOP).await;
    tab.value(SHOW_KEYS).await;
    tab.until(&format!("{ROWS}[0]")).await;
    let hostile = "<script>document.title=1</script><img src=x onerror=document.title=1>";
    assert_eq!(tab.value(&format!("{ROWS}[0]")).await, hostile);
    assert_eq!(tab.value("document.querySelectorAll('main script, main img, main b').length").await, 0);
    assert_eq!(tab.value("document.title").await, "Strata");

    let remove = "document.querySelector('#keys button.danger').click()";
    tab.value(remove).await;
    tab.until("document.getElementById('confirm').open").await;
    // What is under the finger first is to keep.
    assert_eq!(tab.value("document.activeElement.textContent").await, "Keep");
    tab.press(&[("Enter", 13)]).await;
    tab.until("!document.getElementById('confirm').open").await;
    assert_eq!(server.get("/v1/keys").await.json()["keys"][0]["key"], hostile);

    tab.value(remove).await;
    tab.until("document.getElementById('confirm').open").await;
    tab.press(&[("Tab", 9), ("Enter", 13)]).await;
    tab.until("document.getElementById('keys-note').textContent === '1 removed.'").await;
    assert_eq!(server.get("/v1/keys").await.json()["keys"][0]["key"], "user:0");
    assert_eq!(tab.value(&format!("{ROWS}[0]")).await, "user:0");
}

#[tokio::test]
async fn the_page_asks_for_the_token_and_keeps_it_for_the_tab() {
    let server = Running::start("token = \"s3cret-token\"").await;
    let mut tab = Tab::open(DESKTOP).await;
    tab.go(&format!("http://{}/", server.address)).await;
    let submit = |token: &str| {
        let field = "document.getElementById('token')";
        format!("{field}.value = '{token}'; document.getElementById('token-form').requestSubmit()")
    };
    tab.until("document.getElementById('ask-token')?.open").await;
    assert_eq!(tab.value("document.activeElement.id").await, "token");
    tab.value(&submit("wrong")).await;
    tab.until("document.getElementById('token-note').textContent === 'That was not the right token.'").await;
    tab.until("document.getElementById('ask-token').open").await;
    tab.value(&submit("s3cret-token")).await;
    tab.until(LIVE).await;
    tab.value("location.reload()").await;
    tab.until(&format!("document.getElementById('link') && {LIVE}")).await;
    assert_eq!(tab.value("sessionStorage.getItem('strata-token')").await, "s3cret-token");
    assert_eq!(tab.value("Object.values(localStorage).join() + document.cookie").await, "");
    assert!(tab.requests.iter().all(|url| !url.contains("s3cret")), "{:?}", tab.requests);
}

#[tokio::test]
async fn colours_follow_the_system_until_somebody_chooses_by_the_keyboard() {
    let server = Running::start("").await;
    let mut tab = open(&server, Look { is_dark: true, ..DESKTOP }).await;
    let ground = "getComputedStyle(document.body).backgroundColor";
    let dark = tab.value(ground).await;
    tab.look(DESKTOP).await;
    let light = tab.value(ground).await;
    assert_ne!(dark, light);
    // The first stop is the link past the header, the second the switch.
    tab.press(&[("Tab", 9), ("Tab", 9)]).await;
    assert_eq!(tab.value("document.activeElement.id").await, "theme");
    tab.press(&[("Enter", 13), ("Enter", 13)]).await;
    assert_eq!(tab.value("document.getElementById('theme').textContent").await, "Dark");
    assert_eq!(tab.value(ground).await, dark);
    let open = "document.querySelectorAll('button:not([disabled]), input, select, a[href]')";
    let nameless = format!(
        "[...{open}].filter((it) => !(it.textContent.trim() || it.labels?.length || it.ariaLabel)).length"
    );
    assert_eq!(tab.value(&nameless).await, 0);
}

/// What is shown in part, but for names of clients' own, which may be of any length.
const CUT: &str = "[...document.querySelectorAll('body *')].filter((it) => getComputedStyle(it).textOverflow === 'ellipsis' \
                   && it.scrollWidth > it.clientWidth && !it.closest('.tags, .bars')).map((it) => it.textContent).join()";

#[tokio::test]
async fn nothing_is_wider_than_the_screen_and_pictures_are_kept() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pages");
    std::fs::create_dir_all(&folder).expect("a folder");
    let server = Running::start(&format!("max_connections = 20\n{SETTINGS}")).await;
    let mut tab = open(&server, DESKTOP).await;
    for state in ["empty", "busy", "degraded"] {
        let mut held = Vec::new();
        if state != "empty" {
            traffic(&server).await;
            server.put(&format!("/v1/entries/{}", "long".repeat(250)), "v").await;
        }
        while state == "degraded" && held.len() < 17 {
            let mut raw = server.raw().await;
            raw.write("GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
            raw.answer().await.expect(200);
            held.push(raw);
        }
        server.clock.advance(Duration::from_secs(6));
        let status = if state == "degraded" { "degraded" } else { "healthy" };
        tab.until(&format!("document.getElementById('status').textContent === '{status}'")).await;
        let reasons = tab.value("document.querySelectorAll('#reasons li').length").await;
        assert_eq!(reasons, u32::from(state == "degraded"));
        if state != "empty" {
            tab.until("document.querySelector('#insights [data-severity]')").await;
            tab.value(SHOW_KEYS).await;
            tab.until(&format!("{ROWS}.length > 0")).await;
        }
        for (name, look) in [
            ("light", DESKTOP),
            ("dark", Look { is_dark: true, ..DESKTOP }),
            ("phone", PHONE),
            ("tablet", Look { width: 768, ..PHONE }),
        ] {
            tab.look(look).await;
            tab.until(&format!("innerWidth === {}", look.width)).await;
            assert_eq!(tab.value("document.documentElement.scrollWidth").await, look.width, "{state} {name}");
            assert_eq!(tab.value(CUT).await, "", "{state} {name}");
            let picture = tab.picture().await;
            assert!(picture.len() > 10_000, "{state} {name} is blank");
            std::fs::write(folder.join(format!("{state}-{name}.png")), picture).expect("a picture");
        }
    }
}

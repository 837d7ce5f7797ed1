//! The page of the API: what a person finds and tries, with the keyboard as well.

use std::path::Path;

use crate::chromium::{DESKTOP, Look, PHONE, Tab};
use crate::contract;
use crate::server::Running;

/// The operation that stores a value.
const PUT: &str = "document.getElementById('put_v1_entries_key')";

async fn open(server: &Running, look: Look) -> Tab {
    let mut tab = Tab::open(look).await;
    tab.go(&format!("http://{}/docs", server.address)).await;
    tab.until("document.querySelectorAll('#operations details').length > 0").await;
    tab
}

#[tokio::test]
async fn every_operation_is_there_and_nothing_comes_from_elsewhere() {
    let server = Running::start("token = \"s3cret-token\"").await;
    let mut tab = open(&server, DESKTOP).await;
    let count = contract::operations().count();
    assert_eq!(tab.value("document.querySelectorAll('section > details').length").await, count);
    tab.value("document.querySelectorAll('section > details').forEach((one) => { one.open = true; })").await;
    tab.until(&format!("document.querySelectorAll('form.inside').length === {count}")).await;
    let own = format!("http://{}/", server.address);
    assert!(tab.requests.iter().all(|url| url.starts_with(&own)), "{:?}", tab.requests);
    assert_eq!(tab.complaints, [""; 0]);
}

#[tokio::test]
async fn a_request_is_tried_from_the_page_with_the_token_and_by_keyboard() {
    let server = Running::start("token = \"s3cret-token\"").await;
    let mut tab = open(&server, DESKTOP).await;
    tab.value("document.getElementById('words').value = 'put entries'; document.getElementById('words').dispatchEvent(new Event('input'))").await;
    assert_eq!(tab.value("document.getElementById('found').textContent").await, "2 operations");
    tab.value(&format!("{PUT}.querySelector('summary').focus()")).await;
    tab.press(&[("Enter", 13)]).await;
    tab.until(&format!("{PUT}.querySelector('form')")).await;
    tab.value(&format!(
        "{PUT}.querySelector('input').value = 'a/<b>'; {PUT}.querySelector('textarea').value = 'hello'"
    ))
    .await;
    let send = format!("{PUT}.querySelector('form').requestSubmit()");
    tab.value(&send).await;
    let answer = format!("{PUT}.querySelector('pre[role=status]').textContent");
    tab.until(&format!("{answer}.startsWith('401')")).await;
    tab.value("document.getElementById('token').value = 's3cret-token'; document.getElementById('token').dispatchEvent(new Event('input'))").await;
    tab.value(&send).await;
    tab.until(&format!("{answer}.startsWith('201')")).await;
    let right = [("authorization", "Bearer s3cret-token")];
    assert_eq!(server.send("GET", "/v1/entries/a%2F%3Cb%3E", &right, "").await.expect(200).text(), "hello");
    let command = tab.value(&format!("{PUT}.querySelector('pre:not([role])').textContent")).await.to_string();
    assert!(command.contains("$TOKEN") && !command.contains("s3cret"), "{command}");
}

#[tokio::test]
async fn pictures_are_left_for_who_looks_at_them() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pages");
    std::fs::create_dir_all(&folder).expect("a folder");
    let server = Running::start("").await;
    for (name, look) in
        [("docs-light", DESKTOP), ("docs-dark", Look { is_dark: true, ..DESKTOP }), ("docs-phone", PHONE)]
    {
        let mut tab = open(&server, look).await;
        tab.value(&format!("{PUT}.open = true; {PUT}.scrollIntoView()")).await;
        tab.until(&format!("{PUT}.querySelector('form')")).await;
        let width = tab.value("document.documentElement.scrollWidth").await;
        assert_eq!(width, look.width, "{name} is wider than its window");
        // The head stays at the top of the window, wherever that is when the picture is taken.
        tab.value("scrollTo(0, 0)").await;
        std::fs::write(folder.join(format!("{name}.png")), tab.picture().await).expect("room");
    }
}

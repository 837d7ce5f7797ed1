//! A browser of the test's own, with one tab.
//!
//! It is spoken to over two pipes, in JSON messages that end with a zero byte, so that no port is open and no socket protocol
//! is needed. A shell puts the pipes where the browser expects them.

use std::process::Stdio;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::client::soon;

const START: &str = "exec chromium --headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run \
                     --hide-scrollbars --remote-debugging-pipe --user-data-dir=\"$0\" about:blank \
                     3<&0 4>&1 </dev/null >/dev/null 2>/dev/null";

/// How a tab looks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look {
    pub(crate) width: u32,
    pub(crate) is_dark: bool,
}

pub(crate) const DESKTOP: Look = Look { width: 1280, is_dark: false };
pub(crate) const PHONE: Look = Look { width: 360, is_dark: false };

/// A tab in a browser of its own.
pub(crate) struct Tab {
    _process: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    _profile: TempDir,
    session: Value,
    asked: u64,
    /// What was requested, and what the browser complained about.
    pub(crate) requests: Vec<String>,
    pub(crate) complaints: Vec<String>,
}

impl Tab {
    pub(crate) async fn open(look: Look) -> Self {
        let found =
            Command::new("sh").args(["-c", "command -v chromium"]).stdout(Stdio::null()).status().await;
        assert!(found.expect("sh runs").success(), "these tests need Chromium: apt-get install -y chromium");
        let profile = TempDir::new().expect("a folder");
        let mut command = Command::new("sh");
        command.args(["-c", START]).arg(profile.path()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.kill_on_drop(true).spawn().expect("sh runs");
        let to = process.stdin.take().expect("piped");
        let from = BufReader::new(process.stdout.take().expect("piped"));
        let (session, requests, complaints) = (Value::Null, Vec::new(), Vec::new());
        let mut tab =
            Self { _process: process, to, from, _profile: profile, session, asked: 0, requests, complaints };
        let target = tab.ask("Target.createTarget", json!({"url": "about:blank"})).await["targetId"].take();
        let attached = tab.ask("Target.attachToTarget", json!({"targetId": target, "flatten": true})).await;
        tab.session = attached["sessionId"].clone();
        for domain in ["Network", "Log", "Runtime", "Page"] {
            tab.ask(&format!("{domain}.enable"), json!({})).await;
        }
        tab.look(look).await;
        tab
    }

    pub(crate) async fn look(&mut self, look: Look) {
        let size =
            json!({"width": look.width, "height": 800, "deviceScaleFactor": 1, "mobile": look.width < 500});
        self.ask("Emulation.setDeviceMetricsOverride", size).await;
        let scheme = if look.is_dark { "dark" } else { "light" };
        let media = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.ask("Emulation.setEmulatedMedia", media).await;
    }

    pub(crate) async fn go(&mut self, url: &str) {
        self.ask("Page.navigate", json!({"url": url})).await;
    }

    /// What an expression is worth in the page.
    pub(crate) async fn value(&mut self, expression: &str) -> Value {
        let params = json!({"expression": expression, "awaitPromise": true, "returnByValue": true});
        let mut answer = self.ask("Runtime.evaluate", params).await;
        assert!(answer.get("exceptionDetails").is_none(), "{expression}: {answer}");
        answer["result"]["value"].take()
    }

    /// Waits until an expression is true, and for a minute at most.
    pub(crate) async fn until(&mut self, expression: &str) {
        let next = format!("new Promise((tell) => requestAnimationFrame(() => tell(Boolean({expression}))))");
        let is_true = async { while self.value(&next).await != true {} };
        let came = tokio::time::timeout(Duration::from_mins(1), is_true).await;
        assert!(came.is_ok(), "it never came true: {expression}");
    }

    /// Presses keys that carry no text, one after the other.
    pub(crate) async fn press(&mut self, keys: &[(&str, u32)]) {
        for (key, code) in keys {
            let text = if *key == "Enter" { "\r" } else { "" };
            for kind in ["keyDown", "keyUp"] {
                let event = json!({"type": kind, "key": key, "code": key, "text": text, "windowsVirtualKeyCode": code});
                self.ask("Input.dispatchKeyEvent", event).await;
            }
        }
    }

    /// A picture of the whole page, as PNG.
    pub(crate) async fn picture(&mut self) -> Vec<u8> {
        let answer = self.ask("Page.captureScreenshot", json!({"captureBeyondViewport": true})).await;
        STANDARD.decode(answer["data"].as_str().expect("a picture")).expect("base64")
    }

    async fn ask(&mut self, method: &str, params: Value) -> Value {
        self.asked += 1;
        let mut message = json!({"id": self.asked, "method": method, "params": params});
        if !self.session.is_null() {
            message["sessionId"] = self.session.clone();
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.to.write_all(&bytes).await.expect("the browser listens");
        loop {
            let mut told = self.hear().await;
            if told["id"] == self.asked {
                assert!(told.get("error").is_none(), "{method}: {told}");
                return told["result"].take();
            }
            self.note(&told);
        }
    }

    async fn hear(&mut self) -> Value {
        let mut message = Vec::new();
        soon(self.from.read_until(0, &mut message)).await.expect("the browser speaks");
        message.pop();
        serde_json::from_slice(&message).expect("the browser has ended, or does not speak JSON")
    }

    fn note(&mut self, event: &Value) {
        let params = &event["params"];
        match event["method"].as_str() {
            Some("Network.requestWillBeSent") => {
                self.requests.push(params["request"]["url"].as_str().unwrap_or_default().to_owned());
            }
            Some("Log.entryAdded") if params["entry"]["level"] == "error" => {
                self.complaints.push(params["entry"]["text"].to_string());
            }
            Some("Runtime.exceptionThrown") => self.complaints.push(params.to_string()),
            _ => {}
        }
    }
}

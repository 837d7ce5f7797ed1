//! The page, without a browser: what is sent, to whom, and what it may do there.

use crate::server::Running;

const FILES: [(&str, &str); 7] = [
    ("/", "text/html; charset=utf-8"),
    ("/docs", "text/html; charset=utf-8"),
    ("/docs.css", "text/css; charset=utf-8"),
    ("/docs.js", "text/javascript; charset=utf-8"),
    ("/page.css", "text/css; charset=utf-8"),
    ("/page.js", "text/javascript; charset=utf-8"),
    ("/page.svg", "image/svg+xml"),
];

#[tokio::test]
async fn the_page_is_open_and_allows_nothing_from_elsewhere() {
    let server = Running::start("token = \"s3cret-token\"").await;
    for (path, content_type) in FILES {
        let file = server.get(path).await.expect(200);
        assert_eq!(file.header("content-type"), content_type);
        assert_eq!(file.header("x-content-type-options"), "nosniff");
        let policy = file.header("content-security-policy");
        for part in
            ["default-src 'none'", "script-src 'self'", "connect-src 'self'", "frame-ancestors 'none'"]
        {
            assert!(policy.contains(part), "{policy}");
        }
        assert!(!policy.contains("unsafe") && !policy.contains('*'), "{policy}");
        let foreign =
            ["https://", "//cdn", "@import", "url("].into_iter().find(|it| file.text().contains(it));
        assert_eq!(foreign, None, "{path}");
    }
    for path in ["/v1/stats", "/v1/events/stats", "/v1/keys", "/api/cache/dashboard", "/page.map"] {
        server.get(path).await.problem(401);
    }
}

#[tokio::test]
async fn the_page_has_no_script_but_its_file_and_makes_no_markup() {
    let server = Running::start("").await;
    for (page, script) in [("/", "/page.js"), ("/docs", "/docs.js")] {
        let html = server.get(page).await.text();
        assert_eq!(html.matches("<script").count(), 1, "{html}");
        assert!(html.contains(&format!("<script src=\"{script}\" type=\"module\"></script>")));
        for inline in [" onclick", " onload", " style=", "javascript:"] {
            assert!(!html.contains(inline), "{inline}");
        }
        let script = server.get(script).await.text();
        for maker in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("] {
            assert!(!script.contains(maker), "{maker}");
        }
    }
}

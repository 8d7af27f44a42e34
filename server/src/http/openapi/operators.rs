//! What the operators' listener has besides the monitors: metrics, the token for neighbours, the console.

use super::{Book, calls};
use crate::{
    error::Code::{NotFound, NotFromHere, WechatUnreachable, WrongSecret},
    http::admin,
};

pub(super) fn monitors(book: &mut Book) {
    book.chapter("monitors", "What operators and their monitors ask.");
    book.get("/healthz", "Alive").gives(200, "The process answers", &["text/plain"]);
    book.get("/readyz", "Ready: the stores answer, and there is a token or a code to go on with")
        .answers::<admin::Ready>(200, &[])
        .answers::<admin::Ready>(503, &[]);
}

pub(super) fn neighbours(book: &mut Book) {
    book.chapter("neighbours", "For other services on this machine.");
    book.get("/metrics", "Everything that is counted, for Prometheus")
        .gives(200, "Prometheus's text format", &["application/openmetrics-text"])
        .refuses(&[NotFromHere]);
    let given = "The access_token and how long it is good for, as WeChat says it";
    book.get("/neighbours/token", "WeChat's access_token, for a neighbour with a secret")
        .gives(200, given, &["application/json"])
        .refuses(&[WrongSecret, NotFromHere, NotFound, WechatUnreachable]);
    book.post("/neighbours/token", "The same").gives(200, given, &["application/json"]).refuses(&[
        WrongSecret,
        NotFromHere,
        NotFound,
        WechatUnreachable,
    ]);
}

pub(super) fn console(book: &mut Book) {
    book.chapter("console", "The operators' console: pages and their forms, for owners alone.");
    book.get("/", "To the console").leads("To the console");
    book.get("/assets/{name}", "Scripts and styles of the console")
        .gives(200, "The file", &["text/javascript", "text/css", "image/svg+xml"])
        .refuses(&[NotFound]);
    for (path, summary) in [
        ("/console", "Overview"),
        ("/console/sign-in", "The page with the code to scan"),
        ("/console/link", "Where a one-time link leads"),
        ("/console/sites", "All sites"),
        ("/console/sites/new", "Known applications, and a form for any other new site"),
        ("/console/sites/new/{app}", "A form for a known application"),
        ("/console/sites/{id}", "One site"),
        ("/console/sites/{id}/try", "Try a site with a real sign-in"),
        ("/console/sites/{id}/tried/{ticket}", "What the site would have been told"),
        ("/console/people", "People"),
        ("/console/people/{id}", "One person"),
        ("/console/audit", "The audit log"),
        ("/console/keys", "Signing keys"),
        ("/console/settings", "Settings in force"),
    ] {
        book.get(path, summary).shows("The page").leads("To the sign-in").shows_errors(&[NotFound]);
    }
    for (path, summary) in [
        ("/console/quota", "Ask WeChat what is left of its quotas"),
        ("/console/sign-out", "Sign out"),
        ("/console/link", "Use a one-time link"),
        ("/console/sites/new", "Register a site"),
        ("/console/sites/new/{app}", "Register a known application"),
        ("/console/sites/{id}", "Change a site"),
        ("/console/sites/{id}/secret", "Make a fresh secret"),
        ("/console/sites/{id}/remove", "Remove a site"),
        ("/console/people/{id}/{act}", "Do something with a person"),
        ("/console/keys/rotate", "Let the next keys sign"),
    ] {
        book.post(path, summary)
            .origin()
            .shows("The page")
            .leads("Back to the page")
            .shows_errors(&[NotFromHere, NotFound]);
    }
    calls::ticket(book, "console_browser");
}

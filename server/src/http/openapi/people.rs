//! Pages for people, what they are made of, and what monitors ask.

use super::Book;
use crate::{
    error::Code::{
        InvalidRequest, LinkOver, NoCodeNow, NoSuchTicket, NotDecided, NotFound, OriginNotAllowed,
        TicketExpired, Unauthorized, UnknownSite,
    },
    http::{admin, links},
};

pub(super) fn pages(book: &mut Book) {
    book.chapter("people", "Pages for people, and what they are made of.");
    book.get("/", "Where I am signed in").needs(&["session"]).shows("The person's own page");
    book.get("/login", "Sign in to saoma itself")
        .shows("The page with the code")
        .shows_errors(&[UnknownSite, NoCodeNow]);
    book.get(
        "/link",
        "Where a one-time link leads: the page that takes the secret out of its own address",
    )
    .shows("The page");
    book.post("/link", "Keep the secret of a one-time link for a moment")
        .origin()
        .form::<links::Typed>()
        .leads("To the code to scan for it")
        .shows_errors(&[InvalidRequest, OriginNotAllowed, LinkOver]);
    book.get("/link/scan", "Scan for what a one-time link gives")
        .query::<links::Begun>()
        .shows("The page with the code")
        .shows_errors(&[InvalidRequest, UnknownSite, LinkOver, NoCodeNow]);
    book.get("/link/let-in", "An invitation has been taken")
        .query::<links::LetIn>()
        .shows("The page that leads to the site")
        .shows_errors(&[InvalidRequest, UnknownSite]);
    book.post("/sign-out", "Sign out of saoma itself")
        .origin()
        .needs(&["session"])
        .leads("To the person's own page")
        .shows_errors(&[OriginNotAllowed]);
    book.post("/logins/{id}/end", "End one of my logins")
        .origin()
        .needs(&["session"])
        .leads("To the person's own page")
        .shows_errors(&[OriginNotAllowed, Unauthorized, NotFound]);
    book.get("/tickets/{ticket}/answer", "Where the hosted page goes with response_mode=form_post")
        .needs(&["browser"])
        .shows("The page that posts the answer to the site")
        .leads("The answer, to the site's redirect_uri")
        .shows_errors(&[NoSuchTicket, NotDecided, TicketExpired]);
    book.get("/avatars/{name}/{version}", "A person's picture")
        .gives(200, "The picture", &["image/jpeg"])
        .refuses(&[NotFound]);
    book.get("/wechat-login.js", "The element, for pages of any origin").gives(
        200,
        "A module",
        &["text/javascript"],
    );
    book.get("/wxLogin.js", "The same under the names of WeChat's own script").gives(
        200,
        "A script",
        &["text/javascript"],
    );
    book.get("/assets/{name}", "Scripts and styles of saoma's own pages")
        .gives(200, "The file", &["text/javascript", "text/css", "image/svg+xml"])
        .refuses(&[NotFound]);
}

pub(super) fn monitors(book: &mut Book) {
    book.chapter("monitors", "What operators and their monitors ask.");
    book.get("/healthz", "Alive").gives(200, "The process answers", &["text/plain"]);
    book.get("/readyz", "Ready: the stores answer, and there is a token or a code to go on with")
        .answers::<admin::Ready>(200, &[])
        .answers::<admin::Ready>(503, &[]);
}

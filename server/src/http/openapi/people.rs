//! Pages for people, what they are made of, and what monitors ask.

use serde_json::{Map, Value};

use super::Book;
use crate::{
    error::Code::{
        ApplicationNotRegistered, InvalidRequest, LinkOver, NoCodeNow, NoSuchTicket, NotDecided,
        NotFound, OriginNotAllowed, PayloadTooLarge, PersonBlocked, ProxyNotTrusted, RequestOver,
        TicketExpired, Unauthorized, UnknownSite,
    },
    http::{account, forward, links},
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
        .shows_errors(&[InvalidRequest, PayloadTooLarge, OriginNotAllowed, LinkOver]);
    book.get("/link/scan", "Scan for what a one-time link gives")
        .query::<links::Begun>()
        .shows("The page with the code")
        .shows_errors(&[InvalidRequest, UnknownSite, LinkOver, NoCodeNow]);
    book.get("/link/let-in", "An invitation has been taken")
        .query::<links::LetIn>()
        .shows("The page that leads to the site")
        .shows_errors(&[InvalidRequest, UnknownSite]);
    book.get("/device", "Where a device sends people, who type its digits into the mini program")
        .shows("The page that says so");
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
    book.get("/me.json", "All that is kept of me")
        .needs(&["session"])
        .answers::<account::Kept>(200, &[])
        .refuses(&[OriginNotAllowed, Unauthorized]);
    book.get("/forget", "Ask to be forgotten")
        .needs(&["session"])
        .shows("The form, or the way to the scan that must come first");
    book.get("/forget/scan", "Scan once more before being forgotten")
        .shows("The page with the code")
        .shows_errors(&[UnknownSite, NoCodeNow]);
    book.post("/forget", "Forget me; within five minutes of a scan")
        .origin()
        .needs(&["session"])
        .shows("The page that says it is done")
        .leads("To the way to that scan, where it is longer ago")
        .shows_errors(&[OriginNotAllowed, Unauthorized, PersonBlocked]);
    book.get("/tickets/{ticket}/answer", "Where the hosted page goes with response_mode=form_post")
        .needs(&["browser"])
        .shows("The page that posts the answer to the site")
        .leads("The answer, to the site's redirect_uri")
        .shows_errors(&[NoSuchTicket, NotDecided, TicketExpired]);
    book.get("/avatars/{name}/{version}", "A person's picture")
        .gives(200, "The picture", &["image/jpeg"])
        .refuses(&[NotFound]);
    book.get("/logos/{site}/{version}", "A site's picture")
        .gives(200, "The picture", &["image/png", "image/jpeg"])
        .refuses(&[NotFound]);
    book.get("/wechat-login.js", "The element, for pages of any origin").gives(
        200,
        "A module",
        &["text/javascript"],
    );
    book.get("/wechat-login.d.ts", "The element's attributes, events and parts, for TypeScript")
        .gives(200, "Declarations", &["text/plain"]);
    book.get("/custom-elements.json", "The same, for editors (a custom elements manifest)")
        .answers::<Map<String, Value>>(200, &[]);
    book.get("/wxLogin.js", "The same under the names of WeChat's own script").gives(
        200,
        "A script",
        &["text/javascript"],
    );
    book.get("/assets/{name}", "Scripts and styles of saoma's own pages")
        .gives(200, "The file", &["text/javascript", "text/css", "image/svg+xml"])
        .refuses(&[NotFound]);
}

pub(super) fn applications(book: &mut Book) {
    book.chapter(
        "forward auth",
        "What proxies ask about applications that know no OpenID Connect, and what they hand through below /.saoma/ of an application's host.",
    );
    let refused = [InvalidRequest, ProxyNotTrusted, ApplicationNotRegistered];
    let told =
        "May go through; Remote-User, Remote-Name, Remote-Email and Remote-Groups say whose it is";
    book.get("/forward-auth", "For Caddy and Traefik")
        .forwarded()
        .gives(200, told, &[])
        .gives(401, "Nobody is signed in, and no browser to send anywhere", &[])
        .leads("To where the browser begins to sign in")
        .refuses(&refused);
    book.get(
        "/forward-auth/nginx",
        "For nginx: the same as a 401 whose Location says where to begin",
    )
    .forwarded()
    .gives(200, told, &[])
    .gives(401, "Nobody is signed in", &[])
    .refuses(&refused);
    book.get("/.saoma/start", "Begin to sign in to an application")
        .forwarded()
        .query::<forward::Start>()
        .leads("To saoma's own page")
        .refuses(&refused);
    book.get("/.saoma/callback", "Come back from it, for the cookie of the application's host")
        .forwarded()
        .query::<forward::Back>()
        .leads("To the application")
        .gives(403, "The person said no, or the sign-in is over", &["text/html"])
        .refuses(&refused);
    book.get("/.saoma/sign-out", "Sign out of an application")
        .forwarded()
        .shows("The page that asks, where no link of the application's led there")
        .leads("To saoma's own page")
        .refuses(&refused);
    book.post("/.saoma/sign-out", "The same, by the form of the page that asks")
        .forwarded()
        .origin()
        .leads("To saoma's own page")
        .refuses(&refused)
        .refuses(&[OriginNotAllowed]);
    book.get("/.saoma/page.css", "The style of saoma's pages on an application's host").gives(
        200,
        "The file",
        &["text/css"],
    );
}

pub(super) fn rainbow(book: &mut Book) {
    book.chapter(
        "rainbow",
        "The bridge for plugins that speak the aggregate-login protocol; a site without a key has none.",
    );
    let fields = ["act", "appid", "appkey", "type", "redirect_uri", "state", "code"];
    let said = "What the protocol says; `code` 0 is success";
    book.get("/connect.php", "Begin a sign-in, or ask who has signed in").texts(&fields).gives(
        200,
        said,
        &["application/json"],
    );
    book.post("/connect.php", "The same as a form").form_of(&fields).gives(
        200,
        said,
        &["application/json"],
    );
    book.get("/connect/{name}", "Where act=login sends the browser")
        .shows("The page with the code")
        .shows_errors(&[RequestOver, UnknownSite, NoCodeNow]);
}

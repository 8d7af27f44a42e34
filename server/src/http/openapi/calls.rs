//! `/api`: the page's calls and the phone's (docs/protocol.md).

use super::Book;
use crate::{
    error::Code::{
        AlreadyDecided, AlreadyScanned, BlockedByWechat, InvalidRequest, JsCodeRefused, LinkOver,
        MatchRequired, NoCodeNow, NoSuchTicket, NobodyYet, NotAdmitted, NotDecided, NotFound,
        OriginNotAllowed, OwnerAsked, PersonBlocked, RedirectUriNotRegistered, Refused,
        TakenByAnotherPhone, TicketExpired, TooManyRenewals, Unauthorized, UnknownSite,
        UpdateRequired, WechatUnreachable, WrongMatch,
    },
    http::{account, browser, owner, phone, watch},
    login, ticket,
};

pub(super) fn page(book: &mut Book) {
    book.chapter(
        "page",
        "A page and its ticket. An embedded page proves itself by its key; saoma's own by the browser's cookie.",
    );
    book.post("/api/tickets", "Open a ticket for an embedded page")
        .origin()
        .body::<browser::Open>()
        .answers::<browser::Opened>(201, &["page.opened"])
        .refuses(&[UnknownSite, RedirectUriNotRegistered, NoCodeNow]);
    ticket(book, "browser");
}

/// One ticket, on either listener: what its page asks, proved by the cookie that is called so there.
pub(super) fn ticket(book: &mut Book, cookie: &'static str) {
    book.get("/api/tickets/{ticket}", "The state, as soon as it is another than `after`")
        .query::<watch::Poll>()
        .answers::<login::State>(
            200,
            &[
                "page.waiting",
                "page.scanned",
                "page.scanned.match",
                "page.scanned.hosted",
                "page.approved",
                "page.denied",
                "page.denied.owner_asked",
                "page.denied.not_admitted",
                "page.expired",
            ],
        )
        .refuses(&[InvalidRequest, OriginNotAllowed, NoSuchTicket]);
    book.get("/api/tickets/{ticket}/code", "The picture of the code, until it has been scanned")
        .gives(200, "The picture", &["image/jpeg", "image/png"])
        .refuses(&[OriginNotAllowed, NoSuchTicket]);
    book.get("/api/tickets/{ticket}/ws", "The state and its changes, over a WebSocket")
        .says("Each text frame is a state. Closes with 1000 after a final one, with 4001 for a newer socket, with 1008 or 1009 when the page says anything.")
        .origin()
        .done(101)
        .refuses(&[InvalidRequest, NoSuchTicket]);
    book.get("/api/tickets/{ticket}/events", "The same as server-sent events named `state`")
        .gives(200, "The events", &["text/event-stream"])
        .refuses(&[OriginNotAllowed, NoSuchTicket]);
    book.post("/api/tickets/{ticket}/claim", "Take what was decided")
        .says("The same answer again until the code is redeemed or has ended.")
        .origin()
        .needs(&[cookie])
        .body::<browser::Proof>()
        .answers::<browser::Claimed>(
            200,
            &["page.claimed", "page.claimed.denied", "page.claimed.hosted"],
        )
        .refuses(&[NoSuchTicket, NotDecided, TicketExpired]);
    book.post("/api/tickets/{ticket}/renew", "A fresh ticket in the place of one not scanned")
        .origin()
        .needs(&[cookie])
        .body::<browser::Proof>()
        .answers::<browser::Opened>(201, &["page.opened"])
        .refuses(&[
            UnknownSite,
            NoSuchTicket,
            AlreadyScanned,
            AlreadyDecided,
            TooManyRenewals,
            NoCodeNow,
        ]);
    book.post("/api/tickets/{ticket}/digits", "Eight digits to type into the mini program")
        .origin()
        .needs(&[cookie])
        .body::<browser::Proof>()
        .answers::<browser::Digits>(200, &["page.digits"])
        .refuses(&[NoSuchTicket, AlreadyScanned, AlreadyDecided, TicketExpired]);
    book.post("/api/tickets/{ticket}/cancel", "Give the ticket up")
        .origin()
        .needs(&[cookie])
        .body::<browser::Proof>()
        .done(204)
        .refuses(&[NoSuchTicket, AlreadyDecided]);
}

pub(super) fn phone(book: &mut Book) {
    book.chapter("phone", "A phone and the ticket it scanned.");
    let scans = [
        JsCodeRefused,
        BlockedByWechat,
        PersonBlocked,
        UpdateRequired,
        WechatUnreachable,
        NoSuchTicket,
        TicketExpired,
        LinkOver,
        TakenByAnotherPhone,
        AlreadyScanned,
        AlreadyDecided,
        UnknownSite,
    ];
    book.post("/api/phone/tickets/{scene}/scan", "Open the code of this scene")
        .body::<phone::Scan>()
        .answers::<phone::Asked>(200, &["phone.scanned", "phone.scanned.ask"])
        .refuses(&scans);
    book.post("/api/phone/codes/{digits}/scan", "Open the ticket that these digits stand for")
        .body::<phone::Scan>()
        .answers::<phone::Asked>(200, &["phone.scanned", "phone.scanned.ask"])
        .refuses(&scans);
    let decides = [
        Unauthorized,
        PersonBlocked,
        NoSuchTicket,
        TicketExpired,
        TakenByAnotherPhone,
        AlreadyDecided,
        UnknownSite,
    ];
    book.post("/api/phone/tickets/{scene}/approve", "Yes")
        .says("A wrong number is a decision too: no.")
        .needs(&["scan"])
        .body::<phone::Approve>()
        .answers::<phone::Decided>(200, &["phone.approved"])
        .refuses(&decides)
        .refuses(&[MatchRequired, WrongMatch, Refused, NotAdmitted, OwnerAsked, LinkOver]);
    book.post("/api/phone/tickets/{scene}/deny", "No")
        .needs(&["scan"])
        .body::<phone::Nothing>()
        .answers::<phone::Decided>(200, &["phone.denied"])
        .refuses(&decides);
}

pub(super) fn account(book: &mut Book) {
    book.chapter("account", "What the person who holds the phone may see, change and end.");
    let asks_wechat = [JsCodeRefused, BlockedByWechat, PersonBlocked, WechatUnreachable];
    let holds = [Unauthorized, PersonBlocked];
    book.post("/api/phone/session", "A token for the calls below, which cannot approve")
        .body::<account::Fresh>()
        .answers::<account::Session>(200, &["phone.session"])
        .refuses(&asks_wechat);
    book.call("delete", "/api/phone/session", "End the token")
        .needs(&["phone"])
        .done(204)
        .refuses(&[Unauthorized]);
    book.get("/api/phone/asks", "Who asks to be let in; to owners alone")
        .needs(&["phone"])
        .answers::<owner::Asks>(200, &["phone.asks"])
        .refuses(&holds)
        .refuses(&[NotFound]);
    book.post("/api/phone/asks/{person}/{site}", "Let somebody in to a site, or keep them out")
        .needs(&["phone"])
        .body::<owner::Answer>()
        .done(204)
        .refuses(&asks_wechat)
        .refuses(&[Unauthorized, NotFound]);
    book.get("/api/phone/logins", "Where the person is signed in")
        .needs(&["phone"])
        .answers::<account::Logins>(200, &["phone.logins"])
        .refuses(&holds);
    book.call("delete", "/api/phone/logins", "End all of them")
        .needs(&["phone"])
        .body::<account::Fresh>()
        .done(204)
        .refuses(&asks_wechat)
        .refuses(&[Unauthorized]);
    book.call("delete", "/api/phone/logins/{id}", "End one")
        .needs(&["phone"])
        .body::<account::Ending>()
        .done(204)
        .refuses(&holds)
        .refuses(&[NotFound]);
    book.get("/api/phone/attempts", "The latest attempts to sign in with this phone")
        .needs(&["phone"])
        .answers::<account::Attempts>(200, &[])
        .refuses(&holds);
    book.get("/api/phone/consents", "What sites may know of the person")
        .needs(&["phone"])
        .answers::<account::Consents>(200, &[])
        .refuses(&holds);
    book.call("delete", "/api/phone/consents/{site}", "Take it back, and end the logins there")
        .needs(&["phone"])
        .done(204)
        .refuses(&holds);
    book.call("put", "/api/phone/profile", "Change what the person shows")
        .needs(&["phone"])
        .body::<account::NewProfile>()
        .answers::<ticket::Face>(200, &[])
        .refuses(&holds)
        .refuses(&[NobodyYet]);
    book.get("/api/phone/me", "All that is kept of the person")
        .says("The log comes a thousand lines at a time, the latest first.")
        .needs(&["phone"])
        .query::<account::Part>()
        .answers::<account::Kept>(200, &[])
        .refuses(&holds)
        .refuses(&[InvalidRequest]);
    book.call("delete", "/api/phone/me", "Forget the person")
        .needs(&["phone"])
        .body::<account::Fresh>()
        .done(204)
        .refuses(&asks_wechat)
        .refuses(&[Unauthorized]);
}

//! Where mail to made-up addresses would go, by a name server of our own.

use std::net::SocketAddr;

use hickory_resolver::proto::{
    op::{Message, MessageType, OpCode, ResponseCode},
    rr::{
        Name, RData, Record, RecordType,
        rdata::{A, MX},
    },
};
use saoma::{
    audit::{COMMAND, Entry},
    doctor::{Dns, Finding, Verdict, is_broken, text},
    site::Site,
    store::{Store as _, sqlite::Sqlite},
    world::Timestamp,
};
use tokio::net::UdpSocket;

use crate::stage::Patient;

/// Finds what the doctor says of the domain of a site's made-up addresses.
async fn finding(domain: &str) -> Finding {
    let mut patient = Patient::healthy().await;
    patient.dns = Dns::At(name_server().await);
    patient.with(|settings| {
        let email = format!("{{username}}@{domain}");
        settings.sites.push(Site { email, ..Site::new("blog", "My blog") });
        settings.owned_domains.push("ours.example.org".to_owned());
    });
    let found = patient.findings().await;
    assert!(!is_broken(&found), "{}", text(&found));
    found.into_iter().find(|finding| finding.check == "email_domain").unwrap()
}

#[tokio::test]
async fn a_domain_where_somebody_receives_mail_is_warned_of() {
    let found = finding("mail.example.org").await;
    assert_eq!(found.verdict, Verdict::Warning);
    assert!(found.said.contains("is received by mx.example.net"), "{}", found.said);
    let todo = found.todo.unwrap();
    assert!(todo.en.contains("mail.example.org. MX 0 .") && todo.zh.contains("MX 0 ."));
}

#[tokio::test]
async fn a_domain_that_is_a_machine_receives_mail_by_default() {
    let found = finding("web.example.org").await;
    assert_eq!(found.verdict, Verdict::Warning);
    assert!(found.said.contains("no MX record, but an address"), "{}", found.said);
}

#[tokio::test]
async fn a_domain_that_refuses_mail_is_as_it_should_be() {
    let found = finding("null.example.org").await;
    assert_eq!(
        (found.verdict, found.said.as_str()),
        (Verdict::Ok, "null.example.org refuses all mail")
    );
}

#[tokio::test]
async fn a_domain_that_is_nowhere_is_good_if_nobody_else_can_have_it() {
    assert_eq!(finding("users.ours.example.org").await.verdict, Verdict::Ok);
    assert_eq!(finding("users.invalid").await.verdict, Verdict::Ok);
    let found = finding("users.elsewhere.org").await;
    assert_eq!(found.verdict, Verdict::Warning);
    assert!(found.todo.unwrap().en.contains("owned_domains"));
}

#[tokio::test]
async fn where_a_site_has_chosen_no_domain_the_public_host_is_looked_at() {
    let of_host = async |host: &str| {
        let mut patient = Patient::healthy().await;
        patient.dns = Dns::At(name_server().await);
        patient.with(|settings| {
            settings.public_url = format!("https://{host}");
            settings.sites.push(Site::new("blog", "My blog"));
        });
        let found = patient.findings().await;
        found.into_iter().find(|finding| finding.check == "email_domain").unwrap()
    };
    let warned = of_host("mail.example.org").await;
    assert!(warned.verdict == Verdict::Warning && warned.said.contains("mx.example.net"));
    let fine = of_host("web.example.org").await;
    assert_eq!(
        (fine.verdict, fine.said.as_str()),
        (Verdict::Ok, "no mail server is named for web.example.org"),
        "it has an address, or nobody would reach saoma"
    );
    assert_eq!(of_host("127.0.0.1").await.verdict, Verdict::Skipped, "no mail domain");
}

#[tokio::test]
async fn sites_registered_by_command_are_looked_at_too() {
    let mut patient = Patient::healthy().await;
    patient.dns = Dns::At(name_server().await);
    let store = Sqlite::open(&patient.folder().join("saoma.db")).unwrap();
    let email = "{username}@mail.example.org".to_owned();
    let entry = Entry::of_operator(Timestamp::from_millis(0), "site.added", COMMAND);
    store.add_site(&Site { email, ..Site::new("wiki", "Wiki") }, entry).await.unwrap();
    assert!(patient.warned("email_domain").await.said.contains("mail.example.org"));
}

#[tokio::test]
async fn without_an_answer_nothing_is_claimed() {
    let mut patient = Patient::healthy().await;
    patient.with(|settings| {
        let email = "{username}@mail.example.org".to_owned();
        settings.sites.push(Site { email, ..Site::new("blog", "My blog") });
    });
    let found = patient.findings().await;
    let finding = found.iter().find(|finding| finding.check == "email_domain").unwrap();
    assert_eq!(finding.verdict, Verdict::Skipped, "{}", text(&found));
}

/// A name server that knows three names.
async fn name_server() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut bytes = [0; 512];
        while let Ok((len, from)) = socket.recv_from(&mut bytes).await {
            let asked = Message::from_vec(bytes.get(..len).unwrap()).unwrap();
            socket.send_to(&answer(&asked).to_vec().unwrap(), from).await.unwrap();
        }
    });
    address
}

fn answer(asked: &Message) -> Message {
    let mut answer = Message::new(asked.id, MessageType::Response, OpCode::Query);
    let query = asked.queries.first().unwrap();
    let name = query.name().to_utf8();
    let host = |host: &str| Name::from_utf8(host).unwrap();
    let data = match (name.as_str(), query.query_type()) {
        ("mail.example.org.", RecordType::MX) => {
            Some(RData::MX(MX::new(10, host("mx.example.net."))))
        }
        ("null.example.org.", RecordType::MX) => Some(RData::MX(MX::new(0, host(".")))),
        ("web.example.org.", RecordType::A) => Some(RData::A(A::new(203, 0, 113, 7))),
        _ => None,
    };
    let known = ["mail.example.org.", "null.example.org.", "web.example.org."];
    if !known.contains(&name.as_str()) {
        answer.metadata.response_code = ResponseCode::NXDomain;
    }
    answer.metadata.recursion_available = true;
    answer.add_query(query.clone());
    if let Some(data) = data {
        answer.add_answer(Record::from_rdata(query.name().clone(), 60, data));
    }
    answer
}

//! What happens at one moment: of fifty who race, one wins.

use std::{collections::BTreeSet, sync::Arc};

use saoma::try_it::actors::Browser;
use tokio::{sync::Barrier, task::JoinSet};

use crate::support::{Saoma, claims, param};

const RACERS: usize = 50;

/// Runs fifty of these at once, and returns what each came back with.
async fn race<T, F>(racer: impl Fn(usize) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let line = Arc::new(Barrier::new(RACERS));
    let mut racers = JoinSet::new();
    for n in 0..RACERS {
        let (line, run) = (line.clone(), racer(n));
        racers.spawn(async move {
            line.wait().await;
            run.await
        });
    }
    racers.join_all().await
}

#[tokio::test(flavor = "multi_thread")]
async fn of_fifty_phones_one_gets_the_ticket() {
    let saoma = Saoma::starts().await;
    let page = saoma.browser().opens(&saoma.site("blog").asks()).await.unwrap();
    let scene = saoma.scene(&page.ticket).await;
    let scans = race(|n| {
        let (phone, scene) = (saoma.phone(&format!("person {n}")), scene.clone());
        async move { phone.scans(&scene, 1047).await }
    });
    let (won, lost): (Vec<_>, Vec<_>) = scans.await.into_iter().partition(Result::is_ok);
    assert_eq!((won.len(), lost.len()), (1, RACERS - 1));
    for refused in lost {
        assert_eq!(refused.unwrap_err(), "409 taken_by_another_phone");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_fifty_taps_on_yes_and_no_one_counts() {
    let saoma = Saoma::starts().await;
    let (browser, phone) = (saoma.browser(), saoma.phone("ann"));
    let (page, asked) = saoma.scans(&browser, &saoma.site("blog"), &phone).await;
    let taps = race(|n| {
        let (phone, asked) = (saoma.phone("ann"), asked.clone());
        let yes = n % 2 == 0;
        async move {
            let told = if yes { phone.approves(&asked).await } else { phone.denies(&asked).await };
            (yes, told)
        }
    });
    let taps = taps.await;
    let stands = browser.get(&format!("/api/tickets/{}", page.ticket)).await.unwrap().json();
    let approved = stands["state"] == "approved";
    assert!(approved || stands["state"] == "denied", "{stands}");
    for (yes, told) in taps {
        let expected = if yes == approved { Ok(()) } else { Err("409 already_decided".to_owned()) };
        assert_eq!(told, expected, "everybody hears of the one decision");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_racing_claims_give_one_code() {
    let saoma = Saoma::starts().await;
    let (blog, phone, browser) =
        (saoma.site("blog"), saoma.phone("ann"), Arc::new(saoma.browser()));
    let (page, asked) = saoma.scans(&browser, &blog, &phone).await;
    phone.approves(&asked).await.unwrap();
    let codes = race(|_| {
        let (browser, page): (Arc<Browser>, _) = (browser.clone(), page.clone());
        async move {
            let claimed = browser.calls(&page, "claim").await.unwrap().good().unwrap();
            param(claimed["redirect_to"].as_str().unwrap(), "code")
        }
    });
    let codes: BTreeSet<String> = codes.await.into_iter().collect();
    assert_eq!(codes.len(), 1);
    assert!(blog.redeems(codes.first().unwrap()).await.good().is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_racing_redemptions_give_one_token_and_the_others_revoke_it() {
    let saoma = Saoma::starts().await;
    let (phone, browser) = (saoma.phone("ann"), saoma.browser());
    let (page, asked) = saoma.scans(&browser, &saoma.site("blog"), &phone).await;
    phone.approves(&asked).await.unwrap();
    let code = claims(&browser, &page).await;
    let redemptions = race(|_| {
        let (blog, code) = (saoma.site("blog"), code.clone());
        async move { blog.redeems(&code).await }
    });
    let (won, lost): (Vec<_>, Vec<_>) =
        redemptions.await.into_iter().partition(|reply| reply.status == 200);
    assert_eq!((won.len(), lost.len()), (1, RACERS - 1));
    assert!(lost.iter().all(|reply| reply.problem() == "400 invalid_grant"));
    let token = won[0].json()["access_token"].as_str().unwrap().to_owned();
    let refused = saoma.site("blog").asks_who(&token).await;
    assert_eq!(refused.problem(), "401 invalid_token", "a code that is used twice was stolen");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousandfold_guess_at_digits_meets_the_limit_even_at_once() {
    let saoma = Saoma::starts().await;
    let tries = race(|n| {
        let phone = saoma.phone("mallory");
        async move { phone.types(&format!("{n:08}")).await.unwrap_err() }
    });
    let tries = tries.await;
    let looked = tries.iter().filter(|told| *told == "404 no_such_ticket").count();
    assert_eq!(looked, 5, "of many at once no sixth may look: {tries:?}");
}

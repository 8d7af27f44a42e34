//! The module of `oidcc-config-certification-test-plan`.

use serde_json::{Value, json};

use crate::provider::Provider;

#[tokio::test]
async fn oidcc_discovery_endpoint_verification() {
    let provider = Provider::starts().await;
    let answer = provider.get("/.well-known/openid-configuration", None).await;
    assert_eq!(answer.headers["access-control-allow-origin"], "*");
    let said = answer.body;
    assert_eq!(said["issuer"], provider.url);
    assert_eq!(provider.get("/.well-known/oauth-authorization-server", None).await.body, said);
    let endpoints = said.as_object().unwrap().iter();
    let endpoints =
        endpoints.filter(|(name, _)| name.ends_with("_endpoint") || *name == "jwks_uri");
    for (name, url) in endpoints {
        let path = url.as_str().unwrap().strip_prefix(&provider.url).expect("made from the issuer");
        let (get, post) = (provider.get(path, None).await, provider.post(path, &[]).await);
        assert!(get.status != 404 && post.status != 404, "{name} is not there");
    }
    for (name, value) in [
        ("response_types_supported", json!(["code"])),
        ("response_modes_supported", json!(["query", "form_post"])),
        ("subject_types_supported", json!(["pairwise"])),
        ("id_token_signing_alg_values_supported", json!(["RS256", "ES256"])),
        ("code_challenge_methods_supported", json!(["S256"])),
        ("claims_parameter_supported", json!(false)),
        ("request_parameter_supported", json!(false)),
        ("request_uri_parameter_supported", json!(false)),
        ("authorization_response_iss_parameter_supported", json!(true)),
    ] {
        assert_eq!(said[name], value, "{name}");
    }
    let jwks = provider.get("/oauth2/jwks", None).await.body;
    let keys = jwks["keys"].as_array().unwrap();
    let private = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];
    for key in keys {
        assert!(private.iter().all(|name| key.get(name).is_none()), "a private key is published");
        assert_eq!(key["use"], "sig");
    }
    let kids: std::collections::BTreeSet<_> = keys.iter().map(|key| key["kid"].as_str()).collect();
    assert_eq!(kids.len(), keys.len(), "every key has a name of its own");
    let kinds = |alg: &str| keys.iter().filter(|key: &&Value| key["alg"] == alg).count();
    assert!(kinds("RS256") >= 1 && kinds("ES256") >= 1);
}

//! Where a server spends its time, seen by another process.

use std::{collections::BTreeSet, io::Read};

use component::profiling::Profile;
use flate2::read::GzDecoder;
use http_body_util::BodyExt;
use kube::{Client, client::Body};
use prost::Message;

use crate::process::ApiServer;

async fn ask(client: &Client, method: &str, path: &str, body: &str) -> (u16, Vec<u8>) {
    let request = http::Request::builder().method(method).uri(path).body(Body::from(body.as_bytes().to_vec())).unwrap();
    let response = client.send(request).await.unwrap();
    let code = response.status().as_u16();
    (code, response.into_body().collect().await.unwrap().to_bytes().to_vec())
}

fn decoded(profile: &[u8]) -> Profile {
    let mut bytes = Vec::new();
    GzDecoder::new(profile).read_to_end(&mut bytes).unwrap();
    Profile::decode(bytes.as_slice()).unwrap()
}

/// The functions of a profile.
fn functions(profile: &Profile) -> BTreeSet<&str> {
    profile.function.iter().map(|function| profile.string_table[function.name as usize].as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_server_tells_where_its_time_goes() {
    let server = ApiServer::start(None).await;
    let client = server.client();
    let busy = tokio::spawn({
        let client = client.clone();
        async move {
            loop {
                ask(&client, "GET", "/api/v1/namespaces", "").await;
            }
        }
    });
    let profile = || ask(&client, "GET", "/debug/pprof/profile?seconds=1", "");
    let (one, other) = tokio::join!(profile(), profile());
    busy.abort();
    let (made, refused) = if one.0 == 200 { (one, other) } else { (other, one) };
    let told = String::from_utf8_lossy(&refused.1).into_owned();
    assert_eq!((refused.0, told.as_str()), (500, "Could not enable CPU profiling: cpu profiling already in use\n"));
    assert_eq!(made.0, 200, "{}", String::from_utf8_lossy(&made.1));

    let profile = decoded(&made.1);
    let kinds = profile.sample_type.iter().map(|kind| profile.string_table[kind.kind as usize].as_str());
    assert_eq!(kinds.collect::<Vec<_>>(), ["samples", "cpu"]);
    let spent: i64 = profile.sample.iter().map(|sample| sample.value[1]).sum();
    assert!(spent > 0 && profile.duration_nanos >= 1_000_000_000);
    let functions = functions(&profile);
    assert!(functions.iter().any(|name| name.starts_with("tokio::")), "{functions:?}");
    // Stacks reach from what runs to where its thread began.
    let deepest = profile.sample.iter().map(|sample| sample.location_id.len()).max();
    assert!(deepest > Some(10), "{deepest:?}");

    let address = profile.location.iter().find(|location| !location.line.is_empty()).unwrap().address;
    let (_, symbols) = ask(&client, "POST", "/debug/pprof/symbol", &format!("{address:#x}+0x1")).await;
    let symbols = String::from_utf8(symbols).unwrap();
    assert!(
        symbols.starts_with(&format!("num_symbols: 1\n{address:#x} ")) && symbols.lines().count() == 2,
        "{symbols}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn where_profiles_are_turned_off_there_is_nothing() {
    let server = ApiServer::start_with(None, &["--profiling=false"]).await;
    for path in ["/debug/pprof/", "/debug/pprof/profile?seconds=1", "/debug/flags/v"] {
        let (code, body) = ask(&server.client(), "GET", path, "").await;
        assert_eq!((code, body.as_slice()), (404, b"404 page not found\n".as_slice()), "{path}");
    }
}

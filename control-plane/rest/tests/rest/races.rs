use crate::service::{Service, network, route, rpc};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn case_057_of_sixty_equal_creations_one_succeeds() {
    let service = Service::start().await;
    service.network().await;
    for (path, body) in [
        ("/networks", network("polygon", 137)),
        ("/rpcs", rpc("http://node.example")),
        ("/routes", route("a.example", "/eth")),
    ] {
        let requests = (0..60).map(|_| service.post(path, body.clone()));
        let answers = futures_util::future::join_all(requests).await;
        let created: Vec<_> = answers.iter().filter(|answer| answer.status == 201).collect();
        let refused = answers.iter().filter(|answer| answer.status == 409).count();
        assert_eq!((created.len(), refused), (1, 59), "{path}");
        if path == "/rpcs" {
            let conflict = answers.iter().find(|answer| answer.status == 409).unwrap();
            assert_eq!(conflict.json()["context"]["uuid"], created[0].uuid());
        }
    }
}

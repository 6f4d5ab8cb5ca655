//! Recommendations as messages and as a service, with the weights that come of them.

use tonic::{Request, Response, Status};
use tyrscale_model::{Violation, ViolationCode};
use tyrscale_proto::v1;
use tyrscale_store::Store;

use super::{
    author_of,
    crud::{Crud, Message},
    kind::{crud_service, message_of_kind},
    mask::take_field,
    refused, store_status, weights,
};
use crate::{coordination::Coordination, secrets::Vault, weights::Book};

/// The election of recommenders.
const RECOMMENDER: &str = "recommender";

/// The service over the store and the recommended weights.
pub(crate) struct Recommendations {
    crud: Crud<v1::Recommendation>,
    store: Store,
    book: Book,
    coordination: Coordination,
}

impl Recommendations {
    pub(crate) fn new((store, vault): (Store, Vault), book: Book, coordination: Coordination) -> Self {
        Self {
            crud: Crud::new(store.clone(), vault),
            store,
            book,
            coordination,
        }
    }

    /// Whether who sets weights as a leader leads; whoever sets them by hand need not.
    async fn check_leader(&self, fencing_token: Option<u64>) -> Result<(), Status> {
        let Some(token) = fencing_token else { return Ok(()) };
        let leads = self.coordination.is_led_by(RECOMMENDER, token).await;
        if leads.map_err(store_status)? {
            return Ok(());
        }
        let message = format!("{token} is not of the recommender that leads");
        Err(refused(Violation::new(
            "fencing_token",
            ViolationCode::RevisionMismatch,
            message,
        )))
    }

    const fn crud(&self) -> &Crud<v1::Recommendation> {
        &self.crud
    }
}

crud_service! {
    v1::recommendation_service_server::RecommendationService, Recommendations, route_id, recommendation;
    get_recommendation(GetRecommendationRequest) -> GetRecommendationResponse;
    list_recommendations(ListRecommendationsRequest) -> ListRecommendationsResponse { recommendations };
    create_recommendation(CreateRecommendationRequest) -> CreateRecommendationResponse;
    update_recommendation(UpdateRecommendationRequest) -> UpdateRecommendationResponse;
    delete_recommendation(DeleteRecommendationRequest) -> DeleteRecommendationResponse { cascade, deleted };

    async fn set_weights(
        &self,
        request: Request<v1::SetWeightsRequest>,
    ) -> Result<Response<v1::SetWeightsResponse>, Status> {
        let author = author_of(&request);
        self.check_leader(request.get_ref().fencing_token).await?;
        let snapshot = self.store.head().snapshot.clone();
        let set = weights::set(&self.book, &snapshot, request.into_inner(), author);
        set.await.map(Response::new)
    }

    async fn list_weights(
        &self,
        request: Request<v1::ListWeightsRequest>,
    ) -> Result<Response<v1::ListWeightsResponse>, Status> {
        let route = request.into_inner().route_id;
        weights::list(&self.book.head(), &self.store.head().snapshot, &route).map(Response::new)
    }

    async fn clear_weights(
        &self,
        request: Request<v1::ClearWeightsRequest>,
    ) -> Result<Response<v1::ClearWeightsResponse>, Status> {
        let author = author_of(&request);
        let snapshot = self.store.head().snapshot.clone();
        let route = request.into_inner().route_id;
        let cleared = weights::clear(&self.book, &snapshot, &route, &author);
        cleared.await.map(Response::new)
    }
}

impl Message for v1::Recommendation {
    message_of_kind!(Recommendation, Recommendation, "route_id");

    fn id(&self) -> String {
        self.route_id.clone()
    }

    fn take(&mut self, path: &str, from: &Self) -> bool {
        match path.split_once('.') {
            None => take_field!(
                self, from, path;
                route_id, network, schedule, strategy, mode, window_s, prior, guards, parameters, expression, promql
            ),
            Some(("guards", path)) => take_field!(
                self.guards, from.guards => path;
                min_samples, hysteresis, min_dwell_s, max_step, floor_weight, min_usable, max_age_s
            ),
            Some(("parameters", path)) => take_field!(
                self.parameters, from.parameters => path;
                tolerance_blocks, half_life_blocks, half_life_error_percent, latency_exponent, price_exponent,
                quality_exponent, headroom_percent, freshness_share, latency_share, error_share, price_share,
                calls_mix, logs_mix, traces_mix, transactions_mix
            ),
            Some(_) => false,
        }
    }
}

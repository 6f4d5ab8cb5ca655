//! Recommendations as messages and as a service.

use tyrscale_proto::v1;

use super::{
    crud::Message,
    kind::{crud_service, message_of_kind},
    mask::take_field,
};

crud_service! {
    v1::recommendation_service_server::RecommendationService, v1::Recommendation, route_id, recommendation;
    get_recommendation(GetRecommendationRequest) -> GetRecommendationResponse;
    list_recommendations(ListRecommendationsRequest) -> ListRecommendationsResponse { recommendations };
    create_recommendation(CreateRecommendationRequest) -> CreateRecommendationResponse;
    update_recommendation(UpdateRecommendationRequest) -> UpdateRecommendationResponse;
    delete_recommendation(DeleteRecommendationRequest) -> DeleteRecommendationResponse;

    async fn set_weights(
        &self,
        _: tonic::Request<v1::SetWeightsRequest>,
    ) -> Result<tonic::Response<v1::SetWeightsResponse>, tonic::Status> {
        Err(no_weights())
    }

    async fn list_weights(
        &self,
        _: tonic::Request<v1::ListWeightsRequest>,
    ) -> Result<tonic::Response<v1::ListWeightsResponse>, tonic::Status> {
        Err(no_weights())
    }

    async fn clear_weights(
        &self,
        _: tonic::Request<v1::ClearWeightsRequest>,
    ) -> Result<tonic::Response<v1::ClearWeightsResponse>, tonic::Status> {
        Err(no_weights())
    }
}

impl Message for v1::Recommendation {
    message_of_kind!(Recommendation, Recommendation, "route_id");

    fn id(&self) -> String {
        self.route_id.clone()
    }

    fn take(&mut self, path: &str, from: &Self) -> bool {
        take_field!(self, from, path; route_id, network, schedule, strategy)
    }
}

fn no_weights() -> tonic::Status {
    tonic::Status::unimplemented("recommended weights are not served by this build")
}

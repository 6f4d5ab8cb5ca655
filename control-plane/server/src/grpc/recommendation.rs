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

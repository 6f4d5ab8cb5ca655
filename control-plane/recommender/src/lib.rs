//! The recommender: follows recommendations and the resources they name.

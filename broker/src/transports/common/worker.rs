//! The worker that a request came to.

use actix_web::{HttpRequest, web};
use widecast_protocol::Code;

use crate::http::Problem;
use crate::session::Worker;

/// The worker that a request came to.
///
/// # Errors
/// When the application was built without one, as in a test of other endpoints.
pub(in crate::transports) fn worker(request: &HttpRequest) -> Result<Worker, Problem> {
    let worker = request.app_data::<web::Data<Worker>>();
    worker
        .map(|worker| worker.get_ref().clone())
        .ok_or_else(|| Problem::new(Code::Internal, "this worker carries no subscriptions"))
}

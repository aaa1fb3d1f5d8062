//! Whether each application is there.

use super::{Answer, Question};
use crate::config::checked::{Config, Route};
use crate::proxy;

/// One question for each place, however many routes lead there.
pub(super) fn ask(config: &Config) -> Vec<Question> {
    let mut places: Vec<(&Route, Vec<&str>)> = Vec::new();
    for route in &config.routes {
        let known = places.iter_mut().find(|(first, _)| {
            first.upstream == route.upstream && first.upstream_tls == route.upstream_tls
        });
        match known {
            Some((_, ids)) => ids.push(&route.id),
            None => places.push((route, vec![&route.id])),
        }
    }
    let within = config.limits.connect_timeout;
    places
        .into_iter()
        .map(|(route, ids)| {
            let plural = if ids.len() == 1 { "" } else { "s" };
            let about = format!(
                "application {} (route{plural} {})",
                route.upstream,
                ids.join(", ")
            );
            let (upstream, tls) = (route.upstream.clone(), route.upstream_tls.clone());
            let id = route.id.clone();
            let answers = tokio::spawn(async move {
                vec![match proxy::reach(&upstream, &tls, within).await {
                    Ok(Ok(())) => Answer::good("it accepts connections"),
                    Ok(Err(error)) => Answer::of_fault(&error, Some(&id)),
                    Err(error) => Answer::of_fault(&error, Some(&id)),
                }]
            });
            Question { about, answers }
        })
        .collect()
}

//! Endpoints that are taken out since they fail.

use proxy_core::config::Cluster;
use proxy_core::{accrual, outlier, passive};

use super::words::{length, share, yes};
use crate::Area;
use crate::tell::{NONE, Sheet};

pub(super) fn ejection(sheet: &mut Sheet, cluster: &Cluster) {
    let outlier = cluster.outlier;
    let origin = outlier.map_or(cluster.origin, |it| it.origin);
    let inner = outlier.map(|it| of_outlier(&it.value, origin));
    sheet.part(Area::Ejection, "outlier", inner, origin);
    let accrual = cluster.accrual;
    let origin = accrual.map_or(cluster.origin, |it| it.origin);
    let inner = accrual.map(|it| of_accrual(&it.value, origin));
    sheet.part(Area::Ejection, "accrual", inner, origin);
    let passive = cluster.passive;
    let origin = passive.map_or(cluster.origin, |it| it.origin);
    let inner = passive.map(|it| of_passive(&it.value, origin));
    sheet.part(Area::Ejection, "passive", inner, origin);
}

/// Each rule with its share of enforcement: one that is never enforced, or counts to nothing, is none.
fn of_outlier(settings: &outlier::Settings, origin: proxy_core::origin::OriginId) -> Sheet {
    let mut sheet = Sheet::default();
    let mut row = |what: &'static str, text: String| sheet.row(Area::Ejection, what, text, origin);
    let row_of =
        |count: u32, enforcing: proxy_core::config::Share| match (count, enforcing.as_ppm()) {
            (0, _) | (_, 0) => NONE.to_owned(),
            (count, 1_000_000) => count.to_string(),
            (count, _) => format!("{count}, enforced for {}", share(enforcing)),
        };
    let own = settings.split_local_origin;
    row(
        "outlier.consecutive 5xx",
        row_of(settings.consecutive_5xx, settings.enforcing_consecutive_5xx),
    );
    row(
        "outlier.consecutive gateway failures",
        row_of(
            settings.consecutive_gateway_failure,
            settings.enforcing_consecutive_gateway_failure,
        ),
    );
    row("outlier.local failures apart", yes(own));
    let local = match own {
        true => row_of(
            settings.consecutive_local_origin_failure,
            settings.enforcing_consecutive_local_origin,
        ),
        false => NONE.to_owned(),
    };
    row("outlier.consecutive local failures", local);
    row("outlier.interval", length(settings.interval));
    row("outlier.base ejection", length(settings.base_ejection_time));
    let longest = settings.max_ejection_time.max(settings.base_ejection_time);
    row("outlier.longest ejection", length(longest));
    row("outlier.jitter", length(settings.max_ejection_jitter));
    row("outlier.max ejection", share(settings.max_ejection_share));
    row(
        "outlier.one may always be out",
        yes(settings.always_eject_one),
    );
    let local = settings.enforcing_local_origin_success_rate;
    row(
        "outlier.success rate",
        rate(
            &settings.success_rate,
            own.then_some(local),
            &format!(
                "{} deviations",
                f64::from(settings.success_rate_stdev_factor) / 1_000.0
            ),
        ),
    );
    let local = settings.enforcing_failure_percentage_local_origin;
    row(
        "outlier.failure percentage",
        rate(
            &settings.failure_percentage,
            own.then_some(local),
            &format!("{} %", settings.failure_percentage_threshold),
        ),
    );
    row(
        "outlier.checks bring back",
        yes(settings.health_check_returns),
    );
    sheet
}

fn rate(rule: &outlier::RateRule, local: Option<proxy_core::config::Share>, of: &str) -> String {
    let local = local.filter(|it| it.as_ppm() > 0);
    if rule.enforcing.as_ppm() == 0 && local.is_none() {
        return NONE.to_owned();
    }
    let enforced = match rule.enforcing.as_ppm() {
        1_000_000 => String::new(),
        _ => format!(", enforced for {}", share(rule.enforcing)),
    };
    let local = local.map_or_else(String::new, |it| format!(", local ones for {}", share(it)));
    format!(
        "{of}, {} endpoints with {} requests{enforced}{local}",
        rule.minimum_hosts, rule.request_volume
    )
}

fn of_accrual(settings: &accrual::Settings, origin: proxy_core::origin::OriginId) -> Sheet {
    let mut sheet = Sheet::default();
    let mut row = |what: &'static str, text: String| sheet.row(Area::Ejection, what, text, origin);
    row("accrual.failures", settings.max_failures.to_string());
    row("accrual.shortest penalty", length(settings.min_penalty));
    row("accrual.longest penalty", length(settings.max_penalty));
    row("accrual.jitter", settings.jitter.to_string());
    sheet
}

fn of_passive(settings: &passive::Settings, origin: proxy_core::origin::OriginId) -> Sheet {
    let mut sheet = Sheet::default();
    let mut row = |what: &'static str, text: String| sheet.row(Area::Ejection, what, text, origin);
    let failures = settings.failures.clamp(1, passive::Settings::MOST_FAILURES);
    row("passive.failures", failures.to_string());
    row("passive.window", length(settings.window));
    row(
        "passive.checks bring back",
        yes(settings.returned_by_checks),
    );
    sheet
}

//! When a cron job is to run, and which times it has missed.

use std::time::Duration;

use api_types::{
    batch::CronJob,
    cron::{self, Schedule},
    jiff::{
        SignedDuration, Timestamp,
        tz::{self, TimeZone},
    },
};

/// A timer may be early; so much later it is not. As upstream.
const LATER: Duration = Duration::from_millis(100);
/// Who has missed more is told; as upstream.
const MANY: i64 = 100;

/// When a cron job runs.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// By which rule.
    schedule: Schedule,
    /// By whose clocks.
    pub zone: TimeZone,
}

/// Why a cron job cannot run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unusable {
    /// Nobody knows its time zone: its name.
    TimeZone(String),
    /// Its schedule cannot be read: why.
    Schedule(String),
}

impl Plan {
    /// Reads a cron job's. One that names no time zone runs by the clocks of `local`.
    pub(super) fn of(cron_job: &CronJob, local: &TimeZone) -> Result<Self, Unusable> {
        let text = cron_job.spec.schedule.as_str();
        let named = match cron_job.spec.time_zone.as_deref() {
            Some(name) => Some(find_zone(name).ok_or_else(|| Unusable::TimeZone(name.to_owned()))?),
            None => None,
        };
        let within = match cron::split_zone(text).0 {
            Some(name) => Some(find_zone(name).ok_or_else(|| {
                Unusable::Schedule(format!("provided bad location {name}: unknown time zone {name}"))
            })?),
            None => None,
        };
        let schedule = cron::parse(text).map_err(Unusable::Schedule)?;
        Ok(Self { schedule, zone: within.or(named).unwrap_or_else(|| local.clone()) })
    }

    fn next(&self, after: Timestamp) -> Option<Timestamp> {
        self.schedule.next(after, &self.zone)
    }

    /// The last time that is not after `now`, given that the one after `from` is not.
    fn last(&self, from: Timestamp, now: Timestamp) -> Option<Timestamp> {
        if let Schedule::Every(_) = self.schedule {
            let steps = std::iter::successors(self.next(from), |time| self.next(*time));
            return steps.take_while(|time| *time <= now).last();
        }
        // The next time after a moment never comes before that after an earlier moment.
        let comes = |second: i64| {
            let moment = Timestamp::from_second(second).ok()?;
            self.next(moment).filter(|time| *time <= now)
        };
        let (mut early, mut late) = (from.as_second(), now.as_second());
        while early < late {
            let middle = early + (late - early + 1) / 2;
            if comes(middle).is_some() { early = middle } else { late = middle - 1 }
        }
        comes(early)
    }
}

/// The empty name is that of Greenwich's zone, as in Go.
fn find_zone(name: &str) -> Option<TimeZone> {
    match name {
        "" | "UTC" => Some(TimeZone::UTC),
        name => tz::db().get(name).ok(),
    }
}

/// How many times have gone by without a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missed {
    /// None.
    None,
    /// Some.
    Few,
    /// More than a hundred.
    Many,
}

/// Times that have gone by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Past {
    /// Since when times count.
    since: Timestamp,
    /// The last of them; not always known when many were missed.
    pub last: Option<Timestamp>,
    /// How many.
    pub missed: Missed,
}

/// Whether times that are too late to start a job count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TooLate {
    /// They do.
    Count,
    /// They do not.
    DoNot,
}

/// The schedule has no times, or they do not follow one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("time difference between two schedules is less than 1 second")]
pub(super) struct NoTimes;

/// The times that have gone by since the cron job's last one, or since it was made. How many there are is reckoned from
/// the first two, as upstream does it.
pub(super) fn past(cron_job: &CronJob, plan: &Plan, now: Timestamp, too_late: TooLate) -> Result<Past, NoTimes> {
    let since = since(cron_job, now, too_late);
    let first = plan.next(since).ok_or(NoTimes)?;
    if now < first {
        return Ok(Past { since, last: None, missed: Missed::None });
    }
    let second = plan.next(first).unwrap_or(Timestamp::MAX);
    if now < second {
        return Ok(Past { since, last: Some(first), missed: Missed::None });
    }
    let between = second.as_second() - first.as_second();
    if between < 1 {
        return Err(NoTimes);
    }
    let count = (now.as_second() - first.as_second()) / between + 1;
    let about = SignedDuration::from_secs((count - 2).saturating_mul(between));
    let from = first.checked_add(about).unwrap_or(first);
    let missed = if count > MANY { Missed::Many } else { Missed::Few };
    Ok(Past { since, last: plan.last(from, now), missed })
}

/// From when on times count.
fn since(cron_job: &CronJob, now: Timestamp, too_late: TooLate) -> Timestamp {
    let last = cron_job.status.as_ref().and_then(|status| status.last_schedule_time.as_ref());
    let made = cron_job.metadata.creation_timestamp.as_ref();
    let since = last.or(made).map_or(now, |time| time.0);
    let deadline = cron_job.spec.starting_deadline_seconds;
    match deadline.filter(|_| too_late == TooLate::DoNot) {
        Some(seconds) => {
            let earliest = now.checked_sub(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MIN);
            since.max(earliest)
        }
        None => since,
    }
}

/// In how long the next time comes; `None` when none does.
pub(super) fn until_next(cron_job: &CronJob, plan: &Plan, now: Timestamp) -> Option<Duration> {
    let from = match past(cron_job, plan, now, TooLate::Count) {
        Ok(Past { last: Some(last), .. }) => last,
        Ok(Past { since, missed: Missed::None, .. }) => since,
        Ok(_) | Err(NoTimes) => now,
    };
    let next = plan.next(from)?;
    Some(Duration::try_from(next.duration_since(now)).unwrap_or_default() + LATER)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn cron_job(schedule: &str, since: &str, deadline: Option<i64>) -> CronJob {
        serde_json::from_value(json!({
            "metadata": {"creationTimestamp": since},
            "spec": {"schedule": schedule, "startingDeadlineSeconds": deadline, "jobTemplate": {}},
        }))
        .unwrap()
    }

    #[test]
    fn times_go_by() {
        use Missed::{Few, Many, None as No};
        // Schedule, since when, starting deadline, now, the last time, missed, seconds until the next.
        type Case<'a> = (&'a str, &'a str, Option<i64>, &'a str, Option<&'a str>, Missed, u64);
        let cases: [Case<'_>; 12] = [
            ("0 * * * *", "2026-05-19T09:10:00Z", None, "2026-05-19T09:59:00Z", None, No, 60),
            ("0 * * * *", "2026-05-19T09:10:00Z", None, "2026-05-19T10:00:10Z", Some("2026-05-19T10:00:00Z"), No, 3590),
            (
                "0 * * * *",
                "2026-05-19T09:10:00Z",
                None,
                "2026-05-19T12:00:10Z",
                Some("2026-05-19T12:00:00Z"),
                Few,
                3590,
            ),
            (
                "0 * * * *",
                "2026-05-01T09:10:00Z",
                None,
                "2026-05-19T12:00:10Z",
                Some("2026-05-19T12:00:00Z"),
                Many,
                3590,
            ),
            (
                "0 * * * *",
                "2026-05-01T09:10:00Z",
                Some(20),
                "2026-05-19T12:00:10Z",
                Some("2026-05-19T12:00:00Z"),
                No,
                3590,
            ),
            ("0 * * * *", "2026-05-01T09:10:00Z", Some(5), "2026-05-19T12:00:10Z", None, No, 3590),
            // With gaps: reckoned from the first two, the last may be far before.
            (
                "30 6-16/4 * * 1-5",
                "2026-05-15T14:30:00Z",
                None,
                "2026-05-18T10:31:00Z",
                Some("2026-05-18T10:30:00Z"),
                Few,
                14_340,
            ),
            (
                "30 6-16/4 * * 1-5",
                "2026-05-14T14:00:00Z",
                None,
                "2026-05-18T10:31:00Z",
                Some("2026-05-18T10:30:00Z"),
                Few,
                14_340,
            ),
            ("* 3 * * *", "2026-05-09T03:00:00Z", None, "2026-05-19T12:00:00Z", None, Many, 54_000),
            (
                "@every 10m",
                "2026-05-19T09:03:00Z",
                None,
                "2026-05-19T09:50:00Z",
                Some("2026-05-19T09:43:00Z"),
                Few,
                180,
            ),
            (
                "0 0 29 2 *",
                "2026-05-19T09:03:00Z",
                None,
                "2028-02-29T00:00:00Z",
                Some("2028-02-29T00:00:00Z"),
                No,
                126_230_400,
            ),
            (
                "0 * * * *",
                "0001-01-01T00:00:00Z",
                None,
                "2026-05-19T12:00:10Z",
                Some("2026-05-19T12:00:00Z"),
                Many,
                3590,
            ),
        ];
        for (schedule, since, deadline, now, last, missed, next) in cases {
            let cron_job = cron_job(schedule, since, deadline);
            let plan = Plan::of(&cron_job, &TimeZone::UTC).unwrap();
            let past = past(&cron_job, &plan, at(now), TooLate::DoNot).unwrap();
            assert_eq!((past.last, past.missed), (last.map(at), missed), "{schedule} at {now}");
            let wait = until_next(&cron_job, &plan, at(now)).unwrap();
            assert_eq!(wait, Duration::from_secs(next) + LATER, "{schedule} at {now}");
        }
        let never = cron_job("59 23 31 2 *", "2026-05-19T09:03:00Z", None);
        let plan = Plan::of(&never, &TimeZone::UTC).unwrap();
        assert_eq!(past(&never, &plan, at("2026-05-19T09:04:00Z"), TooLate::Count), Err(NoTimes));
        assert_eq!(until_next(&never, &plan, at("2026-05-19T09:04:00Z")), None);
    }

    #[test]
    fn clocks_are_those_of_the_zone() {
        let local = TimeZone::get("Asia/Tokyo").unwrap();
        let zones = [
            ("0 12 * * *", None, "2026-05-19T03:00:00Z"),
            ("0 12 * * *", Some("Europe/Berlin"), "2026-05-19T10:00:00Z"),
            ("TZ=America/New_York 0 12 * * *", None, "2026-05-19T16:00:00Z"),
            ("0 12 * * *", Some("UTC"), "2026-05-19T12:00:00Z"),
        ];
        for (schedule, zone, expected) in zones {
            let mut cron_job = cron_job(schedule, "2026-05-19T00:00:00Z", None);
            cron_job.spec.time_zone = zone.map(str::to_owned);
            let plan = Plan::of(&cron_job, &local).unwrap();
            assert_eq!(plan.next(at("2026-05-19T00:00:00Z")), Some(at(expected)), "{schedule} {zone:?}");
        }
        let mut lost = cron_job("0 12 * * *", "2026-05-19T00:00:00Z", None);
        lost.spec.time_zone = Some("Nowhere/At/All".to_owned());
        assert_eq!(Plan::of(&lost, &local).unwrap_err(), Unusable::TimeZone("Nowhere/At/All".to_owned()));
        let wrong = cron_job("0 25 * * *", "2026-05-19T00:00:00Z", None);
        assert!(matches!(Plan::of(&wrong, &local), Err(Unusable::Schedule(_))));
    }
}

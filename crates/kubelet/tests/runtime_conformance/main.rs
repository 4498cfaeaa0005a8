//! One suite for every implementation of the runtime seam.
//!
//! Docker's part is skipped when no daemon can be reached, and containerd's when none can be started, see [`test_needs`].

#![allow(missing_docs, clippy::unwrap_used)]

mod cases;
#[path = "../shared/containerd.rs"]
mod containerd;
mod containers;
mod cri;
#[path = "../shared/docker.rs"]
mod docker;
mod harness;
mod network;
mod restart;

/// One test per case and implementation.
macro_rules! conformance {
    ($($case:ident),+ $(,)?) => {
        mod on_docker {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    if let Some(harness) = super::harness::docker().await {
                        super::harness::run(harness, super::cases::$case).await;
                    }
                }
            )+
        }

        mod on_containerd {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    if let Some(harness) = super::harness::containerd().await {
                        super::harness::run(harness, super::cases::$case).await;
                    }
                }
            )+
        }

        mod on_the_fake {
            $(
                #[tokio::test]
                async fn $case() {
                    super::harness::run(super::harness::fake().await, super::cases::$case).await;
                }
            )+
        }
    };
}

conformance!(
    a_pod_is_found_again_from_labels,
    a_container_ends_with_its_exit_code_and_log,
    stopping_and_removing_can_be_repeated,
    a_dead_left_over_of_the_same_name_is_replaced,
    a_running_container_keeps_its_name,
    attempts_are_listed_newest_first,
    a_failed_start_is_told_and_remembered,
    limits_change_while_a_container_runs,
    a_missing_image_is_told_apart,
    logs_are_cut_as_asked,
    a_long_line_is_one_line,
    a_followed_log_ends_with_its_container,
    a_command_gives_its_output_and_exit_code,
    a_command_that_hangs_is_timed_out,
    a_command_needs_a_running_container,
    a_session_has_input_and_output,
    events_tell_a_containers_life,
    images_come_and_go,
    what_is_not_there_is_not_found,
);

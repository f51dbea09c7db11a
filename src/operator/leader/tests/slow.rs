//! An API server that answers, but late, or not what it has done: no leader is lost for it.

use rstest::rstest;

use super::*;

/// How long things go wrong.
const MINUTES: Duration = s(120);
/// Between two looks of a test at who leads.
const LOOK: Duration = Duration::from_millis(50);

/// Looks for so long; all the while this one leads and the other one does not.
pub(super) async fn assert_stays(leader: &Running, other: Option<&Running>, lasts: Duration) {
    let begun = Instant::now();
    while begun.elapsed() < lasts {
        assert!(leader.claim.is_current(), "lost after {:?}", begun.elapsed());
        assert!(other.is_none_or(|other| !other.claim.is_current()), "two lead");
        sleep(LOOK).await;
    }
    assert!(!leader.task.is_finished());
}

#[rstest]
#[case(Mood::AnswersLate)]
#[case(Mood::WorksLate)]
#[tokio::test(start_paused = true)]
async fn a_leader_stays_though_each_answer_is_late_for_minutes(#[case] mood: Mood) {
    for begins in 0..8 {
        let server = Server::default();
        let running = run(&server, "me");
        running.claim.begins().await;
        let other = run(&server, "other");
        sleep(Duration::from_millis(300) * begins).await;
        server.mood(mood);
        assert_stays(&running, Some(&other), MINUTES).await;
        server.mood(Mood::Well);
        assert_stays(&running, Some(&other), s(30)).await;
        assert_eq!((server.holder().as_str(), server.spec().lease_transitions), ("me", Some(0)));
        assert_eq!(server.conflicts(), 0, "nothing was written twice");
        assert!(server.connections() < 20, "they are used again: {}", server.connections());
    }
}

#[rstest]
#[case(Mood::AnswersLate)]
#[case(Mood::WorksLate)]
#[tokio::test(start_paused = true)]
async fn a_candidate_takes_a_lease_though_each_answer_is_late(#[case] mood: Mood) {
    // None yet, one that was released, and one whose holder is dead.
    // It takes a connection, a look and a write.
    for (before, limit) in [(None, s(13)), (Some(""), s(13)), (Some("dead"), s(12) + LATE * 5)] {
        let server = Server::default();
        if let Some(holder) = before {
            server.put(holder, Timestamp::UNIX_EPOCH);
        }
        server.mood(mood);
        let running = run(&server, "me");
        timeout(limit, running.claim.begins()).await.expect("it leads");
        assert_stays(&running, None, MINUTES).await;
        assert_eq!(server.conflicts(), 0);
    }
}

#[rstest]
#[case(Mood::AnswersLate)]
#[case(Mood::WorksLate)]
#[tokio::test(start_paused = true)]
async fn a_leader_that_stops_releases_the_lease_though_each_answer_is_late(#[case] mood: Mood) {
    for moment in 0..12 {
        let server = Server::default();
        let running = run(&server, "me");
        running.claim.begins().await;
        server.mood(mood);
        sleep(s(20) + Duration::from_millis(500) * moment).await;
        running.release.cancel();
        timeout(s(9), running.task).await.expect("it ends").unwrap().unwrap();
        sleep(LATE * 2).await;
        assert_eq!(server.holder(), "");
    }
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_is_read_and_not_answered_counts_from_when_it_was_asked_for() {
    let server = Server::default();
    let running = run(&server, "me");
    running.claim.begins().await;
    let begun = Instant::now();
    server.mood(Mood::Mute);
    sleep(s(3)).await;
    server.mood(Mood::ReadsOnly);
    let loss = timeout(s(60), running.task).await.expect("the next one is not carried out").unwrap();
    assert_eq!(loss, Err(Loss::Deadline));
    // Asked for after 2.4 s, and read after 4.4.
    assert_eq!(begun.elapsed().as_millis() / 100, 114, "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_got_lost_is_written_anew() {
    let server = Server::default();
    let running = run(&server, "me");
    running.claim.begins().await;
    for _ in 0..5 {
        sleep(s(30)).await;
        server.mood(Mood::Hung);
        sleep(Duration::from_millis(2_500)).await;
        server.mood(Mood::Well);
        assert_stays(&running, None, s(30)).await;
    }
    assert_eq!(server.conflicts(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_write_that_meets_itself_is_a_success() {
    let server = Server::default();
    server.mood(Mood::Doubled);
    let running = run(&server, "me");
    timeout(s(1), running.claim.begins()).await.expect("it leads");
    let other = run(&server, "other");
    assert_stays(&running, Some(&other), MINUTES).await;
    assert_eq!(server.spec().lease_transitions, Some(0));
    assert!(server.conflicts() > 40, "it is as was meant");
    running.release.cancel();
    assert_eq!(running.task.await.unwrap(), Ok(()));
    assert_eq!(server.holder(), "");
}

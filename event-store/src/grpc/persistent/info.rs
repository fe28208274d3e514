//! What can be told of a group, as a message.

use crate::{
    grpc::proto::persistent::{
        SubscriptionInfo,
        subscription_info::{ConnectionInfo, Measurement},
    },
    persistent::{self, GroupInfo},
};

pub(super) fn group(info: GroupInfo) -> SubscriptionInfo {
    let GroupInfo { id, settings, counted, .. } = info;
    let source = id.source;
    let show = |place: Option<u64>| place.map(|place| source.show(place)).unwrap_or_default();
    SubscriptionInfo {
        event_source: source.name().to_owned(),
        group_name: id.group,
        status: info.status.to_owned(),
        connections: info.connections.into_iter().map(connection).collect(),
        average_per_second: small(counted.per_second),
        total_items: large(counted.total),
        count_since_last_measurement: large(counted.since_last),
        last_checkpointed_event_position: show(info.checkpoint),
        last_known_event_position: show(info.last_known),
        resolve_link_tos: settings.resolve_links,
        start_from: settings.start_from.show(&source),
        message_timeout_milliseconds: small(settings.message_timeout),
        extra_statistics: settings.extra_statistics,
        max_retry_count: small(settings.max_retry_count),
        live_buffer_size: small(settings.live_buffer_size),
        buffer_size: small(settings.history_buffer_size),
        read_batch_size: small(settings.read_batch_size),
        check_point_after_milliseconds: small(settings.checkpoint_after),
        min_check_point_count: small(settings.min_checkpoint_count),
        max_check_point_count: small(settings.max_checkpoint_count),
        read_buffer_count: size(info.read_buffer),
        live_buffer_count: large(info.live_buffer as u64),
        retry_buffer_count: size(info.retry_buffer),
        total_in_flight_messages: size(info.in_flight),
        outstanding_messages_count: size(info.outstanding),
        named_consumer_strategy: settings.strategy.name().to_owned(),
        max_subscriber_count: small(settings.max_subscriber_count),
        parked_message_count: large(info.parked),
    }
}

fn connection(info: persistent::ConnectionInfo) -> ConnectionInfo {
    let counted = info.counted;
    let measured = info.latencies.into_iter();
    ConnectionInfo {
        from: info.from,
        username: info.user,
        average_items_per_second: small(counted.per_second),
        total_items: large(counted.total),
        count_since_last_measurement: large(counted.since_last),
        observed_measurements: measured
            .map(|(key, value)| Measurement { key: key.to_owned(), value: large(value) })
            .collect(),
        available_slots: size(info.available_slots),
        in_flight_messages: size(info.in_flight),
        connection_name: info.name,
    }
}

fn small(value: impl TryInto<i32>) -> i32 {
    value.try_into().unwrap_or(i32::MAX)
}

fn size(value: usize) -> i32 {
    small(value)
}

fn large(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

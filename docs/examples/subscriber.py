"""Who is in front of which camera: prints arrivals, departures and retractions.

pip install 'kafka-python[crc32c,lz4]>=3'; python subscriber.py localhost:9092 identity.events
"""

import json
import sys
import time
from datetime import datetime, timedelta

from kafka import KafkaConsumer, TopicPartition

HEARD_WITHIN = timedelta(seconds=30)  # three heartbeats of ten seconds
captured = datetime.fromisoformat


def name(event: dict | None) -> str | None:
    """The confirmed person; a tentative name is not acted on."""
    return event["identity"]["person_id"] if event and event["identity"]["status"] == "known" else None


def present(tracks: dict[str, dict]) -> str:
    """Who is in front of the camera; 'somebody' is whoever has no confirmed name."""
    return ", ".join(name(e) or "somebody" for e in tracks.values() if e["kind"] != "departed") or "nobody"


def take(tracks: dict[str, dict], event: dict) -> list[str]:
    """Take one event into ``tracks`` (a camera's newest event by track id); returns what changed, in words."""
    before = tracks.get(event["track_id"])
    if before and event["sequence"] <= before["sequence"]:
        return []  # it came twice
    tracks[event["track_id"]] = event
    for old in [t for t, e in tracks.items() if captured(e["time"]) < captured(event["time"]) - HEARD_WITHIN]:
        del tracks[old]  # departed a while ago, or never heard of again
    was, now = name(before), name(event)
    if event["kind"] == "departed":
        return [f"{now or 'somebody'} left after {event['dwell_seconds']:.0f} s ({event['reason']})"]
    retracted = [f"not {was} after all ({event['reason']})"] if was and was != now else []
    return retracted + ([f"{now or 'somebody'} is here"] if not before or was != now else [])


def main(servers: str, topic: str) -> None:
    """Read the last minute to learn who is there, then go on with what comes."""
    consumer = KafkaConsumer(bootstrap_servers=servers.split(","), isolation_level="read_committed")
    partitions = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic)]
    consumer.assign(partitions)
    ends = consumer.end_offsets(partitions)
    minute_ago = consumer.offsets_for_times(dict.fromkeys(partitions, round((time.time() - 60) * 1000)))
    for each in partitions:
        consumer.seek(each, minute_ago[each].offset if minute_ago.get(each) else ends[each])
    cameras: dict[str, dict[str, dict]] = {}
    for record in consumer:
        event = json.loads(record.value)
        tracks = cameras.setdefault(event["camera"], {})
        for line in take(tracks, event):
            print(f"{event['time']} {event['camera']}: {line}; present: {present(tracks)}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])

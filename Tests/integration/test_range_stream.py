"""RangeStream (new in etcd 3.7) against the unary Range of the same member."""

from __future__ import annotations

import random

import pytest

import harness
from api import Client, message
from operations import Generator

pytestmark = pytest.mark.skipif(harness.subject_is_etcd(), reason="etcd 3.5.1 has no RangeStream")

REQUESTS = 300
FIRST_CHUNK_KEYS_MAX = 10


def fill(client: Client, seed: int) -> Generator:
    generator = Generator(seed)
    for _ in range(400):
        op = generator.random.choice([generator.put, generator.put, generator.delete])()
        client.outcome(client.start(op.path, op.data), op.method)
        generator.at(client.revision(), -1)
    for number in range(300):
        client.put(b"many/%04d" % number, generator.random.randbytes(generator.random.choice([10, 1000, 20000])))
    generator.keys += [b"many/", b"many/0100", b"many/0299", b"n"]
    compacted = client.revision() - 200
    client.must("KV/Compact", revision=compacted)
    return generator.at(client.revision(), compacted)


def merged(messages):
    """Proto merge of all chunks."""
    whole = message("RangeResponse")
    for each in messages:
        whole.MergeFrom(each.range_response)
    return whole


def is_refused(request) -> str | None:
    """The text of a refusal that only the stream knows."""
    if request.sort_order != 0 and not (request.sort_order == 1 and request.sort_target == 0):
        return "RangeStream does not support custom sort orders"
    filters = (request.min_mod_revision, request.max_mod_revision, request.min_create_revision,
               request.max_create_revision)
    return "RangeStream does not support revision filters" if any(filters) else None


def test_streams_equal_unary_answers(subject, seed):
    client = subject.client()
    generator = fill(client, seed)
    streamed = refused = failed = 0
    for _ in range(REQUESTS):
        request = generator.range_request(in_transaction=False)
        unary = client.call("KV/Range", request)
        messages, end = client.stream("KV/RangeStream", request)
        refusal = is_refused(request)
        if refusal:
            assert (end.code, end.text) == (12, refusal), f"{request}: {end}"
            refused += 1
        elif not unary.succeeded:
            assert (end.code, end.text, len(messages)) == (unary.code, unary.text, 0), f"{request}: {end}"
            failed += 1
        else:
            assert end.succeeded, f"{request}: {end}"
            check_chunks(request, [each.range_response for each in messages])
            if request.sort_target == 0 or request.sort_order == 1:
                assert merged(messages) == unary.response, f"{request}"
            elif request.limit:
                # A unary range reads one key more than its limit, sorts, and then cuts; a stream is in key order.
                whole = merged(messages)
                assert (whole.count, whole.more, len(whole.kvs)) == \
                    (unary.response.count, unary.response.more, len(unary.response.kvs)), f"{request}"
            else:  # order among equals is not specified
                assert same_pairs(merged(messages), unary.response), f"{request}"
            streamed += 1
    assert streamed > 50 and refused > 30 and failed > 5


def same_pairs(one, other) -> bool:
    return (one.count, one.more) == (other.count, other.more) and \
        sorted(kv.SerializeToString() for kv in one.kvs) == sorted(kv.SerializeToString() for kv in other.kvs)


def check_chunks(request, chunks) -> None:
    assert chunks
    assert all(not chunk.HasField("header") and not chunk.more and chunk.count == 0 for chunk in chunks[:-1])
    assert chunks[-1].HasField("header")
    assert len(chunks[0].kvs) <= FIRST_CHUNK_KEYS_MAX
    if request.count_only:
        assert len(chunks) == 1
    sizes = [len(chunk.kvs) for chunk in chunks[:-1]]
    assert all(later <= 2 * earlier for earlier, later in zip(sizes, sizes[1:])), sizes


def test_a_large_range_comes_in_growing_chunks(subject):
    client = subject.client()
    for number in range(500):
        client.put(b"k%04d" % number, b"v" * 100)
    messages, end = client.stream("KV/RangeStream", message("RangeRequest", key=b"k", range_end=b"l"))
    assert end.succeeded
    assert [len(each.range_response.kvs) for each in messages] == [10, 20, 40, 80, 160, 190]


def test_the_revision_is_pinned(subject, seed):
    """Writes while a stream is read do not show in it."""
    client, writer = subject.client(), subject.client()
    source = random.Random(seed)
    for number in range(3000):
        client.put(b"k%04d" % number, b"first")
    request = message("RangeRequest", key=b"k", range_end=b"l").SerializeToString()
    call = client.channel.unary_stream("/etcdserverpb.KV/RangeStream")(request, timeout=30)
    kvs, header = [], None
    stream_response = message("RangeStreamResponse")
    for data in call:
        chunk = type(stream_response).FromString(data).range_response
        kvs.extend(chunk.kvs)
        header = chunk.header
        writer.put(b"k%04d" % source.randrange(3000), b"second")
        writer.put(b"k%04d/new" % source.randrange(3000), b"second")
    assert len(kvs) == 3000
    assert all(kv.value == b"first" and kv.mod_revision <= header.revision for kv in kvs)

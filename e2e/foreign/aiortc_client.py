"""A participant made of aiortc: `aiortc_client.py publish|view URL TICKET` until standard input ends."""

import array
import asyncio
import fractions
import math
import sys
import time

import aioice.ice
from aiortc import (
    MediaStreamTrack,
    RTCBundlePolicy,
    RTCConfiguration,
    RTCPeerConnection,
    RTCSessionDescription,
)
from aiortc.mediastreams import MediaStreamError, VideoStreamTrack
from av import AudioFrame, VideoFrame

import whip

# It leaves out the loopback, on which the test is.
aioice.ice.get_host_addresses = lambda use_ipv4, use_ipv6: ["127.0.0.1"]

RATE = 48000
CHUNK = RATE // 50


class Tone(MediaStreamTrack):
    """A tone of 440 Hz."""

    kind = "audio"

    def __init__(self):
        super().__init__()
        self.begun = time.time()
        self.at = 0

    async def recv(self):
        await asyncio.sleep(max(0, self.begun + self.at / RATE - time.time()))
        times = range(self.at, self.at + CHUNK)
        samples = (round(math.sin(math.tau * 440 * at / RATE) * 8000) for at in times)
        frame = AudioFrame(format="s16", layout="mono", samples=CHUNK)
        frame.planes[0].update(array.array("h", samples).tobytes())
        frame.sample_rate, frame.pts, frame.time_base = RATE, self.at, fractions.Fraction(1, RATE)
        self.at += CHUNK
        return frame


class Stripe(VideoStreamTrack):
    """A white stripe that moves over a grey picture."""

    async def recv(self):
        pts, base = await self.next_timestamp()
        at = pts // 3000 * 4 % 300
        frame = VideoFrame(320, 180, "gray")
        row = bytearray(b"\x5a" * frame.planes[0].line_size)
        row[at : at + 20] = b"\xff" * 20
        frame.planes[0].update(bytes(row) * 180)
        frame = frame.reformat(format="yuv420p")
        frame.pts, frame.time_base = pts, base
        return frame


class Heard:
    """What comes of one track."""

    def __init__(self, kind):
        self.kind = kind
        self.frames = 0
        self.energy = 0.0

    async def take(self, track):
        try:
            while True:
                frame = await track.recv()
                self.frames += 1
                if self.kind == "audio":
                    samples = memoryview(bytes(frame.planes[0])).cast("h")
                    energy = sum(sample * sample for sample in samples) / 32768**2
                    self.energy += energy / frame.sample_rate
        except MediaStreamError:
            pass


async def main(role, url, ticket):
    # By default it has one transport for each kind until the answer bundles them, and then forgets all
    # sections of pictures but the first, which stay on the transport that is not used.
    pc = RTCPeerConnection(RTCConfiguration(bundlePolicy=RTCBundlePolicy.MAX_BUNDLE))
    heard, tasks = [], []
    if role == "publish":
        pc.addTrack(Tone())
        pc.addTrack(Stripe())
    else:
        for kind in ("audio", "audio", "video", "video"):
            pc.addTransceiver(kind, direction="recvonly")

    @pc.on("track")
    def on_track(track):
        heard.append(Heard(track.kind))
        tasks.append(asyncio.ensure_future(heard[-1].take(track)))

    await pc.setLocalDescription(await pc.createOffer())
    answer, session = await asyncio.to_thread(whip.begin, url, ticket, pc.localDescription.sdp)
    await pc.setRemoteDescription(RTCSessionDescription(answer, "answer"))
    ended = asyncio.ensure_future(asyncio.to_thread(whip.until_told_to_end))
    while not ended.done():
        media = [{"kind": one.kind, "frames": one.frames, "energy": one.energy} for one in heard]
        whip.tell(state=pc.connectionState, media=media)
        await asyncio.wait([ended], timeout=0.3)
    await asyncio.to_thread(whip.end, session)
    await pc.close()


asyncio.run(main(*sys.argv[1:4]))

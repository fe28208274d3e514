"""A participant made of GStreamer: `gstreamer_client.py publish|view URL TICKET` until standard input
ends."""

import sys
import threading

import gi

for name in ("Gst", "GstWebRTC", "GstSdp"):
    gi.require_version(name, "1.0")
from gi.repository import GLib, Gst, GstSdp, GstWebRTC  # noqa: E402

import whip  # noqa: E402

SENDS = """
webrtcbin name=rtc bundle-policy=max-bundle
audiotestsrc is-live=true freq=330 volume=0.3 ! audio/x-raw,rate=48000,channels=1
  ! opusenc ! rtpopuspay pt=111 ! application/x-rtp,media=audio,encoding-name=OPUS,payload=111 ! rtc.
videotestsrc is-live=true pattern=ball ! video/x-raw,width=320,height=180,framerate=15/1
  ! vp8enc deadline=1 cpu-used=8 target-bitrate=250000 keyframe-max-dist=300 ! rtpvp8pay pt=96
  ! application/x-rtp,media=video,encoding-name=VP8,payload=96 ! rtc.
"""

# One element alone would be no pipeline.
TAKES = "webrtcbin name=rtc bundle-policy=max-bundle fakesrc num-buffers=0 ! fakesink"

OFFERED = {
    "audio": "application/x-rtp,media=audio,encoding-name=OPUS,clock-rate=48000,payload=111",
    "video": "application/x-rtp,media=video,encoding-name=VP8,clock-rate=90000,payload=96",
}


class Participant:
    def __init__(self, role, url, ticket):
        self.url, self.ticket, self.session = url, ticket, None
        self.heard = []
        self.pipeline = Gst.parse_launch(SENDS if role == "publish" else TAKES)
        self.rtc = self.pipeline.get_by_name("rtc")
        # It leaves out the loopback, on which the test is. (Whoever asks for the agent owns it: it would
        # be gone when this is.)
        self.ice = self.rtc.get_property("ice-agent")
        self.ice.emit("add-local-ip-address", "127.0.0.1")
        self.rtc.connect("notify::ice-gathering-state", self.gathered)
        self.rtc.connect("pad-added", self.came)
        bus = self.pipeline.get_bus()
        bus.add_signal_watch()
        bus.connect("message::error", lambda _, message: whip.tell(failed=str(message.parse_error())))
        if role == "publish":
            self.rtc.connect("on-negotiation-needed", lambda _: self.offer())
            self.pipeline.set_state(Gst.State.PLAYING)
        else:
            self.pipeline.set_state(Gst.State.PLAYING)
            for kind in ("audio", "audio", "video", "video"):
                caps = Gst.Caps.from_string(OFFERED[kind])
                direction = GstWebRTC.WebRTCRTPTransceiverDirection.RECVONLY
                self.rtc.emit("add-transceiver", direction, caps)
            self.offer()

    def offer(self):
        def made(promise, _):
            # What is in the reply lives as long as the reply.
            self.reply = promise.get_reply()
            offer = self.reply.get_value("offer")
            self.rtc.emit("set-local-description", offer, Gst.Promise.new())

        self.rtc.emit("create-offer", None, Gst.Promise.new_with_change_func(made, None))

    def gathered(self, rtc, _):
        """Without trickling, the offer is complete now."""
        complete = GstWebRTC.WebRTCICEGatheringState.COMPLETE
        if rtc.get_property("ice-gathering-state") != complete or self.session:
            return
        offer = rtc.get_property("local-description").sdp.as_text()
        text, self.session = whip.begin(self.url, self.ticket, offer)
        _, sdp = GstSdp.SDPMessage.new_from_text(text)
        kind = GstWebRTC.WebRTCSDPType.ANSWER
        answer = GstWebRTC.WebRTCSessionDescription.new(kind, sdp)
        rtc.emit("set-remote-description", answer, Gst.Promise.new())

    def came(self, _, pad):
        if pad.direction != Gst.PadDirection.SRC:
            return
        kind = pad.get_current_caps().get_structure(0).get_string("media")
        heard = {"kind": kind, "frames": 0, "energy": 0.0}
        self.heard.append(heard)
        takes = {
            "audio": "rtpopusdepay ! opusdec ! audioconvert ! audio/x-raw,format=F32LE,channels=1"
            " ! fakesink name=end sync=false signal-handoffs=true",
            "video": "rtpvp8depay ! vp8dec ! fakesink name=end sync=false signal-handoffs=true",
        }
        taker = Gst.parse_bin_from_description(takes[kind], True)
        taker.get_by_name("end").connect("handoff", lambda _, buffer, __: count(heard, buffer))
        self.pipeline.add(taker)
        taker.sync_state_with_parent()
        pad.link(taker.get_static_pad("sink"))

    def report(self):
        state = self.rtc.get_property("connection-state").value_nick
        whip.tell(state=state, media=self.heard)
        return True


def count(heard, buffer):
    heard["frames"] += 1
    if heard["kind"] == "audio":
        samples = memoryview(buffer.extract_dup(0, buffer.get_size())).cast("f")
        heard["energy"] += sum(sample * sample for sample in samples) / 48000


def main(role, url, ticket):
    Gst.init(None)
    participant = Participant(role, url, ticket)
    loop = GLib.MainLoop()

    def wait():
        whip.until_told_to_end()
        loop.quit()

    threading.Thread(target=wait, daemon=True).start()
    GLib.timeout_add(300, participant.report)
    loop.run()
    if participant.session:
        whip.end(participant.session)
    participant.pipeline.set_state(Gst.State.NULL)


main(*sys.argv[1:4])

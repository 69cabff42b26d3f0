"use strict";
// One audio element holds both recordings as channels: the noisy ones, then the denoised ones. What is heard is a weighted
// sum of the two, so switching keeps the place to the sample, and what was removed is their difference.
const WEIGHTS = { noisy: [1, 0], denoised: [0, 1], removed: [1, -1] };
const mixers = new WeakMap();
function mixer(audio) {
  if (!mixers.has(audio)) {
    const context = new AudioContext();
    const channels = Number(audio.dataset.channels);
    const source = context.createMediaElementSource(audio);
    const splitter = context.createChannelSplitter(2 * channels);
    const merger = context.createChannelMerger(channels);
    const gains = [0, 1].map((track) => {
      const gain = [];
      for (let i = 0; i < channels; i++) {
        gain.push(context.createGain());
        splitter.connect(gain[i], track * channels + i);
        gain[i].connect(merger, 0, i);
      }
      return gain;
    });
    source.connect(splitter);
    merger.connect(context.destination);
    mixers.set(audio, { context, gains });
    audio.mixed = merger;
  }
  return mixers.get(audio);
}
function listen(audio, fade) {
  const chosen = element.querySelector("input[name=track]:checked").value;
  const { context, gains } = mixer(audio);
  WEIGHTS[chosen].forEach((weight, track) => {
    for (const { gain } of gains[track]) gain.setTargetAtTime(weight, context.currentTime, fade); // no click
  });
  return context.resume();
}
element.addEventListener("play", ({ target }) => listen(target, 0.0001), true);
element.addEventListener("change", ({ target }) => {
  const audio = element.querySelector("audio");
  if (target.name === "track" && mixers.has(audio)) listen(audio, 0.005);
});

"use strict";
// One player at a time; the next one goes on where the last one was, so that systems can be compared while they play.
let last = null;
for (const audio of document.querySelectorAll(".example audio")) {
  const head = audio.parentElement.querySelector(".playhead");
  const seconds = Number(audio.parentElement.querySelector(".zoom").dataset.seconds);
  const follow = () => {
    head.hidden = audio.currentTime === 0;
    head.style.left = `${100 * Math.min(1, audio.currentTime / seconds)}%`;
    if (!audio.paused) requestAnimationFrame(follow);
  };
  audio.addEventListener("play", () => {
    if (last && last !== audio) {
      const same = last.closest(".example") === audio.closest(".example");
      if (same && !last.ended && audio.currentTime === 0) audio.currentTime = last.currentTime;
      last.pause();
      last.currentTime = 0;
    }
    last = audio;
    follow();
  });
  for (const name of ["pause", "seeked", "ended"]) audio.addEventListener(name, follow);
}
// A spectrogram in full, with its axes; the slider stretches it.
const dialog = document.getElementById("enlarged");
const [sheet, slider] = [dialog.querySelector(".sheet"), dialog.querySelector("input")];
function ticks(place, top, count, unit, side) {
  const raw = top / count;
  const size = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((k) => k * size).find((s) => s >= raw);
  const spans = [];
  for (let i = 0; i * step <= top + 1e-9; i++) {
    const span = document.createElement("span");
    span.textContent = `${Number((i * step).toPrecision(6))}${(i + 1) * step > top + 1e-9 ? " " + unit : ""}`;
    span.style[side] = `${(100 * i * step) / top}%`;
    spans.push(span);
  }
  place.replaceChildren(...spans);
}
function stretch() {
  const shown = slider.dataset;
  sheet.style.width = `${100 * slider.value}%`;
  ticks(dialog.querySelector(".seconds"), Number(shown.seconds), 5 * slider.value, "s", "left");
}
slider.addEventListener("input", stretch);
for (const button of document.querySelectorAll(".zoom")) {
  button.addEventListener("click", () => {
    const image = button.querySelector("img");
    const enlarged = sheet.querySelector("img");
    enlarged.src = image.src;
    enlarged.alt = image.alt;
    enlarged.style.width = image.style.width;
    dialog.querySelector("h2").textContent = button.dataset.title;
    slider.dataset.seconds = button.dataset.seconds;
    slider.value = 1;
    ticks(dialog.querySelector(".khz"), Number(button.dataset.khz), 6, "", "bottom");
    stretch();
    dialog.showModal();
  });
}
dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
// On paper everything is open.
window.addEventListener("beforeprint", () => {
  for (const part of document.querySelectorAll("details:not([open])")) {
    part.open = true;
    part.dataset.shut = "";
  }
});
window.addEventListener("afterprint", () => {
  for (const part of document.querySelectorAll("details[data-shut]")) {
    part.open = false;
    delete part.dataset.shut;
  }
});

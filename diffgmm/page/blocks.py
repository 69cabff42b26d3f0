"""The page itself: Gradio's components, what they call, and the server on this machine alone."""

# Without `from __future__ import annotations`: Gradio looks at the types of arguments, and as text it would look them
# up in the module, where Gradio is not: it is imported once its temporary folder is settled.

import functools
import html
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2

from diffgmm.audio import CONTAINERS, FORMATS
from diffgmm.page.work import Outcome, Settings, Visit, denoise_upload
from diffgmm.utils.errors import UserError

if TYPE_CHECKING:
    import gradio

    from diffgmm.inference import Denoiser

HOST = "127.0.0.1"
_HERE = Path(__file__).parent
_KEPT_SECONDS = 3600  # an upload goes after this, though its page may still be open
_BYTES_A_MINUTE = 60 * 96_000 * 2 * 4  # of the largest files that are taken
_ONE_CALL, _SAMPLES = "mean, one network call", "average of samples"


@contextmanager
def serving(
    models: Sequence[str],
    load: Callable[[str], "Denoiser"],
    *,
    port: int | None = None,
    share: bool = False,
    most_minutes: float = 10.0,
    uncertainty: bool = True,
) -> Iterator[tuple[str, str | None]]:
    """Serve the page until the block is left; then nothing of it is left on disk.

    Args:
        models: names to choose from, the first one is chosen.
        load: gives the model of a name.
        port: to listen on; ``None`` for the first free one from 7860.
        share: also make a public address, through Gradio's servers.
        most_minutes: longer recordings are refused.
        uncertainty: whether telling how sure the model is is on from the start.

    Yields:
        The address on this machine, and the public one.

    Raises:
        UserError: no port, or no public address.
    """
    with tempfile.TemporaryDirectory(prefix="diffgmm-demo-") as folder:
        os.environ |= {"GRADIO_TEMP_DIR": folder, "GRADIO_ANALYTICS_ENABLED": "False"}
        import gradio as gr

        page = _blocks(Path(folder), models, load, most_minutes, uncertainty)
        font = gr.themes.Font  # the system's: the others are fetched
        try:
            _, address, public = page.launch(
                prevent_thread_lock=True, quiet=True, show_error=True, server_name=HOST, server_port=port,
                share=share, run_history=False, ssr_mode=False, mcp_server=False, pwa=False, footer_links=[],
                max_file_size=round(most_minutes * _BYTES_A_MINUTE), css_paths=_HERE / "page.css",
                theme=gr.themes.Default(
                    font=[font("system-ui"), font("sans-serif")],
                    font_mono=[font("ui-monospace"), font("monospace")],
                ),
            )  # fmt: skip
            if share and not public:
                raise UserError("--share: Gradio's servers gave no public address; leave it out")
            yield address, public
        except OSError as error:
            if port is None or "port" not in str(error):
                raise
            raise UserError(f"--port {port}: something else listens there; choose another") from error
        finally:
            page.close(verbose=False)


def wait_for_ever() -> None:
    """Sleep until a signal's exception."""
    while True:
        time.sleep(3600)


def _blocks(
    folder: Path,
    models: Sequence[str],
    load: Callable[[str], "Denoiser"],
    most_minutes: float,
    uncertainty: bool,
) -> "gradio.Blocks":
    import gradio as gr

    load = functools.cache(load)
    visits: dict[str | None, Visit] = {}

    def end(request: gr.Request) -> None:
        if visit := visits.pop(request.session_hash, None):
            visit.end()

    def stop(request: gr.Request) -> None:
        if visit := visits.get(request.session_hash):
            visit.stop()

    def denoise(
        files: list[str] | None,
        recorded: str | None,
        model: str,
        strength: float,
        kind: str,
        samples: int,
        sure: bool,
        salvage: bool,
        request: gr.Request,
        progress: Any = gr.Progress(),  # noqa: B008 - that is how Gradio hands it over
    ) -> Iterator[tuple[Any, ...]]:
        uploads = [(Path(path), Path(path).name) for path in files or []]
        uploads += [(Path(recorded), "recording")] if recorded else []
        if not uploads:
            raise gr.Error("Choose a file or record something first.", duration=None, print_exception=False)
        end(request)
        visit = visits[request.session_hash] = Visit(folder)
        settings = Settings(model, strength, samples if kind == _SAMPLES else 0, sure, salvage)
        outcomes: list[Outcome] = []
        for number, (upload, name) in enumerate(uploads):
            count = f" ({number + 1} of {len(uploads)})" if len(uploads) > 1 else ""
            progress(0.0, desc=name + count)
            share = functools.partial(progress, desc=name + count)
            outcomes.append(denoise_upload(upload, name, visit, load, settings, most_minutes, share))
            heard = [(outcome.name, index) for index, outcome in enumerate(outcomes) if outcome.denoised]
            choice: dict[str, Any] = {"choices": heard, "visible": len(heard) > 1}
            result: Any = gr.skip() if heard else ""
            if [index for _, index in heard] == [number]:
                # The first one to be heard; later ones leave alone what is being listened to.
                choice["value"], result = number, _result(outcomes[number])
            yield outcomes, _lines(outcomes), gr.Radio(**choice), result

    with gr.Blocks(title="diffgmm", analytics_enabled=False, delete_cache=(600, _KEPT_SECONDS)) as page:
        gr.Markdown(
            "# diffgmm\nRemoves noise from speech. Recordings stay on the machine that serves this page.",
            elem_id="about",
        )
        with gr.Row():
            with gr.Column(min_width=320):
                files = gr.File(
                    label=f"Recordings, up to {most_minutes:g} minutes each",
                    file_count="multiple",
                    file_types=["audio", "video", *FORMATS, *sorted(CONTAINERS)],
                    elem_id="files",
                )
                recorded = gr.Audio(
                    label="Or record",
                    sources=["microphone"],
                    type="filepath",
                    editable=False,
                    elem_id="record",
                )
            with gr.Column(min_width=320):
                model = gr.Dropdown(list(models), value=models[0], label="Model", elem_id="model")
                strength = gr.Slider(
                    0.0, 1.0, 1.0, step=0.05, label="Strength", info="0 changes nothing", elem_id="strength"
                )
                kind = gr.Radio([_ONE_CALL, _SAMPLES], value=_ONE_CALL, label="Estimate", elem_id="kind")
                samples = gr.Slider(1, 16, 4, step=1, label="Samples", visible=False, elem_id="samples")
                sure = gr.Checkbox(
                    uncertainty,
                    label="Show how sure the model is",
                    info="Slower; needs PyTorch",
                    elem_id="sure",
                )
                salvage = gr.Checkbox(
                    False, label="Take what can be read of damaged files", elem_id="salvage"
                )
        with gr.Row():
            start = gr.Button("Denoise", variant="primary", elem_id="start")
            halt = gr.Button("Stop", elem_id="stop")
        lines = gr.HTML(elem_id="lines", padding=True, min_height=60)
        choice = gr.Radio([], label="Show", visible=False, elem_id="choice")
        result = gr.HTML(elem_id="result", js_on_load=(_HERE / "player.js").read_text(encoding="utf-8"))
        outcomes = gr.State([])
        kind.change(lambda chosen: gr.Slider(visible=chosen == _SAMPLES), kind, samples, **_HIDDEN)
        start.click(
            denoise, [files, recorded, model, strength, kind, samples, sure, salvage],
            [outcomes, lines, choice, result], show_progress_on=lines, concurrency_id="denoise",
            concurrency_limit=1, api_visibility="private",
        )  # fmt: skip
        choice.input(lambda outcomes, index: _result(outcomes[index]), [outcomes, choice], result, **_HIDDEN)
        halt.click(stop, queue=False, **_HIDDEN)
        page.unload(end)
    return page


_HIDDEN: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}


def _lines(outcomes: Sequence[Outcome]) -> str:
    """What happened, a recording a line; read aloud as it changes."""
    items = "".join(
        f'<li class="{"done" if outcome.denoised else "failed"}">{html.escape(outcome.line)}</li>'
        for outcome in outcomes
    )
    return f'<ul class="lines" role="status">{items}</ul>'


def _result(outcome: Outcome) -> str:
    """Player, downloads and pictures of one recording."""
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    return environment.from_string((_HERE / "result.html").read_text(encoding="utf-8")).render(
        outcome=outcome
    )

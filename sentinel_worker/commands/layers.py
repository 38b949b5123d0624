"""Print the layers of confinement that a real decoding child gets on this machine."""

from rich.console import Console

from sentinel_worker.commands.console import plain
from sentinel_worker.confine import sandbox
from sentinel_worker.confine.layers import Layers, Mode
from sentinel_worker.media.zygote import Zygote

console = Console(highlight=False, emoji=False, soft_wrap=True)


async def print_layers(mode: Mode) -> bool:
    """Print the layers in force and the missing ones; returns True if they satisfy `require`.

    Raises Fatal('sandbox_unavailable') if the daemon would not start.
    """
    zygote = Zygote(sandbox=mode)
    await zygote.start()
    await zygote.stop()
    return _print(zygote.layers)


def _print(layers: Layers) -> bool:
    console.print(f"[green]ok[/green] decoding children are confined by {', '.join(layers.in_force)}")
    for name in layers.missing:
        kind = (
            "[red]missing[/red]" if name in sandbox.REQUIRED else "[yellow]missing, but other layers cover it[/yellow]"
        )
        console.print(f"{kind} {plain(sandbox.why([name], layers))}")
    return not set(layers.missing) & set(sandbox.REQUIRED)

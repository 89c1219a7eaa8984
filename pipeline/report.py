"""Stage ``report``: one self-contained page, and the analysis as a run in MLflow."""

from adambias import report, tracking
from adambias.config import load_params
from adambias.stage import run_stage


def main() -> None:
    """Write the page and log the analysis."""
    params = load_params()
    page = "reports/index.html"
    report.run("results", "figures", page, scale=params.name, analyse=params.scale.analyse)
    tracking.log_analysis("results", "figures", page)


if __name__ == "__main__":
    run_stage(main)

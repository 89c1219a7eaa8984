"""Stage ``report``: one self-contained page, and the analysis as a run in MLflow."""

from adambias.config import load_params
from adambias.core.entry import run_stage
from adambias.figures.report import page as report
from adambias.tracking import tracker_for


def main() -> None:
    """Write the page and log the analysis."""
    params = load_params()
    page = "reports/index.html"
    analyse = params.scale.analyse
    report.run("results", "figures", page, scale=params.name, analyse=analyse, explorer=True)
    tracker_for(params).log_analysis("results", "figures", page)


if __name__ == "__main__":
    run_stage(main)

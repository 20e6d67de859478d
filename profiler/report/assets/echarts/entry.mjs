// The parts of Apache ECharts that the report draws with; everything else is left out of the bundle.
import * as echarts from "echarts/core";
import { BarChart, BoxplotChart, LineChart } from "echarts/charts";
import { GridComponent, MarkLineComponent, TooltipComponent } from "echarts/components";
import { SVGRenderer } from "echarts/renderers";

echarts.use([BarChart, BoxplotChart, LineChart, GridComponent, MarkLineComponent, TooltipComponent, SVGRenderer]);
export const init = echarts.init;
export const version = echarts.version;

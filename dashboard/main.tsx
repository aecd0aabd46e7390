import 'uplot/dist/uPlot.min.css'
import './style/base.css'
import './style/shell.css'
import './style/parts.css'
import './style/live.css'
import './style/explore.css'
import './style/compare.css'
import './style/operate.css'
import { render } from 'preact'
import { App } from './app.js'

render(<App />, document.getElementById('app')!)
